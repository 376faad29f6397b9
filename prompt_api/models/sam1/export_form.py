"""Brings the whole decoder into the form of segment_anything's own ONNX export, for programs written for that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from prompt_api.models.two_way.weights import MASKS
from shared.contract.models import SAM1


def in_export_form(decoder: bytes) -> bytes:
    """Return the graph of `unsplit.build_unsplit`, extended to what segment_anything exports with one mask.

    Inputs: those of `build_unsplit`, and orig_im_size (2,) float32, the (height, width) of the original. As in the
    export, the caller adds the padding point to points without a box.

    Outputs: masks (B, 1, height, width), logits at the size of the original, to threshold at 0; iou_predictions (B, 1);
    low_res_masks (B, 1, 256, 256), for `mask_input`. The mask is the single one from three points and corners on,
    otherwise the best of the other three.

    Source: SamOnnxModel with `return_single_mask` in segment_anything/utils/onnx.py.
    """
    model = onnx.load_from_string(decoder)
    _Extension(model.graph).extend()
    return bytes(model.SerializeToString())


class _Extension:
    """The operators that follow the decoder."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph

    def extend(self) -> None:
        logits, scores = (self._all(name) for name in ("low_res_masks", "iou_predictions"))
        del self._graph.output[:]
        size = "orig_im_size"
        self._graph.input.append(helper.make_tensor_value_info(size, TensorProto.FLOAT, [2]))
        best = self._best(scores)
        self._add("GatherND", scores, best, to="best_score", batch_dims=1)
        self._add("GatherND", logits, best, to="best_mask", batch_dims=1)
        one = self._constant("one", np.array([1], np.int64))
        masks = self._at_original_size(self._add("Unsqueeze", "best_mask", one), size)
        self._output("masks", masks, ["prompts", 1, "height", "width"])
        self._output("iou_predictions", self._add("Unsqueeze", "best_score", one), ["prompts", 1])
        side = SAM1.low_res_side
        self._output("low_res_masks", self._add("Unsqueeze", "best_mask", one), ["prompts", 1, side, side])

    def _all(self, output: str) -> str:
        """Rename an output of the decoder, because the export has another one of this name."""
        name = f"all_{output}"
        (node,) = (node for node in self._graph.node if output in node.output)
        node.output[0] = name
        return name

    def _best(self, scores: str) -> str:
        """Return the index of the mask to take, (B, 1). Source: SamOnnxModel.select_masks."""
        points = self._add("Shape", "point_coords", start=1, end=2)
        count = self._add("Cast", points, to_type=TensorProto.FLOAT)
        above = self._add("Sub", count, self._constant("enough_points", np.array([2.5], np.float32)))
        weight = self._constant("single_mask_weight", np.array([[1000] + [0] * (MASKS - 1)], np.float32))
        weighted = self._add("Add", scores, self._add("Mul", weight, above))
        return self._add("ArgMax", weighted, axis=1, keepdims=1)

    def _at_original_size(self, mask: str, size: str) -> str:
        """Resize the mask as `SamPredictor` does, in two steps. Source: SamOnnxModel.mask_postprocessing."""
        side = self._constant("side", np.array(SAM1.frame.side, np.float32))
        longest = self._add("ReduceMax", size, keepdims=0)
        scaled = self._add("Mul", self._add("Div", side, longest), size)
        rounded = self._add("Floor", self._add("Add", scaled, self._constant("half", np.array(0.5, np.float32))))
        inside = self._add("Cast", rounded, to_type=TensorProto.INT64)
        frame = self._resized(mask, self._constant("frame", np.array([SAM1.frame.side] * 2, np.int64)))
        start, axes = self._constant("start", np.zeros(2, np.int64)), self._constant("axes", np.array([2, 3], np.int64))
        cropped = self._add("Slice", frame, start, inside, axes)
        return self._resized(cropped, self._add("Cast", size, to_type=TensorProto.INT64))

    def _resized(self, value: str, size: str) -> str:
        outer = self._add("Shape", value, start=0, end=2)
        sizes = self._add("Concat", outer, size, axis=0)
        return self._add(
            "Resize", value, "", "", sizes, mode="linear", coordinate_transformation_mode="pytorch_half_pixel"
        )

    def _constant(self, name: str, value: np.ndarray[Any, Any]) -> str:
        self._graph.initializer.append(numpy_helper.from_array(value, f"export_{name}"))
        return f"export_{name}"

    def _add(self, kind: str, *inputs: str, to: str = "", to_type: int | None = None, **attributes: Any) -> str:
        name = to or f"export_{len(self._graph.node)}"
        if to_type is not None:
            attributes["to"] = to_type
        self._graph.node.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def _output(self, name: str, value: str, shape: Sequence[int | str]) -> None:
        self._add("Identity", value, to=name)
        self._graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)))
