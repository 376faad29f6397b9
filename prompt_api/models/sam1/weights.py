"""The weights of segment_anything's prompt encoder and mask decoder, recovered from its stock ONNX export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from prompt_api.models.sam1.network import NETWORK
from prompt_api.models.two_way.weights import MASKS, checked_against, expected_shapes
from shared.contract.errors import WeightsError


def read_export(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the weights in an ONNX file written by segment_anything's `scripts/export_onnx_model.py`.

    The export keeps most names. It renames three kinds of arrays, which are found by their place or shape: the
    transposed weight of each Linear (the constant of the product whose bias is added next), the weights and biases
    of LayerNorm2d, and the embeddings without a position (`no_mask_embed`, the output tokens).

    Raises:
        WeightsError: the file cannot be read, or is not an export of this kind.
    """
    try:
        graph = onnx.load(str(path)).graph
    except Exception as error:  # protobuf raises its own errors, whose types cannot be imported
        raise WeightsError(f"{path} cannot be read as an ONNX file: {error}") from error
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = {name.removeprefix("model."): array for name, array in constants.items() if "::" not in name}
    found.update(_linear_weights(graph, constants))
    found.update(_unnamed_by_shape(constants))
    return checked(found)


def checked(weights: Mapping[str, NDArray[np.floating]]) -> dict[str, NDArray[np.float32]]:
    """Return exactly the arrays that the mask decoder needs, as contiguous float32. Others are dropped.

    Raises:
        WeightsError: an array is missing, has another shape than SAM's, or holds values that are not finite.
    """
    return checked_against(weights, dict(expected_shapes(NETWORK)), "SAM mask decoder")


def _linear_weights(
    graph: onnx.GraphProto, constants: Mapping[str, NDArray[np.float32]]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    products = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul"}
    for node in graph.node:
        if node.op_type != "Add":
            continue
        for bias, product in (node.input, reversed(node.input)):
            weight = constants.get(products.get(product, ""))
            if bias.endswith(".bias") and weight is not None:
                yield bias.removeprefix("model.").removesuffix("bias") + "weight", weight.T


def _unnamed_by_shape(constants: Mapping[str, NDArray[np.float32]]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    norms = {
        (4, 1, 1): "prompt_encoder.mask_downscaling.1",
        (16, 1, 1): "prompt_encoder.mask_downscaling.4",
        (64, 1, 1): "mask_decoder.output_upscaling.1",
    }
    for name, array in constants.items():
        if "::" not in name:
            continue
        if array.shape in norms:
            kind = "weight" if name.startswith("onnx::Mul_") else "bias"
            yield f"{norms[array.shape]}.{kind}", array.reshape(-1)
        elif array.shape == (1, 256, 1, 1):
            yield "prompt_encoder.no_mask_embed.weight", array.reshape(1, 256)
        elif array.shape == (1, 1 + MASKS, 256):
            yield "mask_decoder.iou_token.weight", array[0, :1]
            yield "mask_decoder.mask_tokens.weight", array[0, 1:]
