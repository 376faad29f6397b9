"""The decoder in the form of segment_anything's ONNX export, against `SamOnnxModel` and Meta's own export."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from prompt_api.models.onnx.shared_constants import joined
from prompt_api.models.sam1.weights import read_export
from prompt_api.models.two_way.graph_cache import DecoderGraphs
from shared.contract.models import SAM1
from tests.support.reference import Reference

Floats = NDArray[np.float32]

NAMES = ["image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size"]
OUTPUTS = ["masks", "iou_predictions", "low_res_masks"]


@pytest.fixture(scope="module")
def exported(graphs: DecoderGraphs) -> bytes:
    assert graphs.export_form is not None
    return joined(graphs.export_form)


@pytest.fixture(scope="module")
def session(exported: bytes) -> Any:
    return onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def original(weights: Path) -> Any:
    return Reference(read_export(weights / "sam.onnx")).export()


def inputs(size: tuple[int, int], seed: int, *, points: int, box: bool, mask: bool) -> dict[str, Floats]:
    """What the code of Meta's notebook gives: a box as two points, or a padding point."""
    rng = np.random.default_rng(seed)
    height, width = SAM1.frame.inside(size)
    coords = rng.uniform(0, (width, height), (points, 2))
    labels = rng.integers(0, 2, points)
    labels[:1] = 1
    if box:
        coords = np.concatenate([coords, [[0.1 * width, 0.2 * height], [0.7 * width, 0.9 * height]]])
        labels = np.concatenate([labels, [2, 3]])
    else:
        coords, labels = np.concatenate([coords, [[0, 0]]]), np.concatenate([labels, [-1]])
    return {
        "image_embeddings": rng.normal(0, 0.2, (1, 256, 64, 64)).astype(np.float32),
        "point_coords": coords[None].astype(np.float32),
        "point_labels": labels[None].astype(np.float32),
        "mask_input": rng.normal(0, 8, (1, 1, 256, 256)).astype(np.float32) * mask,
        "has_mask_input": np.array([mask], np.float32),
        "orig_im_size": np.array(size, np.float32),
    }


CASES = {
    "a point": ((400, 600), {"points": 1, "box": False, "mask": False}),
    "points": ((600, 400), {"points": 4, "box": False, "mask": False}),
    "a box": ((512, 512), {"points": 0, "box": True, "mask": False}),
    "a box and points": ((1200, 1800), {"points": 2, "box": True, "mask": False}),
    "a point and a mask": ((333, 999), {"points": 1, "box": False, "mask": True}),
    "a box and a mask": ((1025, 77), {"points": 0, "box": True, "mask": True}),
}


def close(ours: list[Floats], theirs: list[Floats]) -> None:
    for name, one, other in zip(OUTPUTS, ours, theirs, strict=True):
        assert one.shape == other.shape, name
        np.testing.assert_allclose(one, other, atol=1e-3, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize(("size", "kind"), CASES.values(), ids=CASES.keys())
def test_it_gives_what_segment_anything_gives(
    session: Any, original: Any, size: tuple[int, int], kind: Mapping[str, Any]
) -> None:
    given = inputs(size, 7, **kind)
    with torch.no_grad():
        expected = original(*(torch.from_numpy(given[name]) for name in NAMES))
    close(session.run(None, given), [one.numpy() for one in expected])


def test_it_can_stand_for_metas_own_export(session: Any, weights: Path) -> None:
    stock = onnxruntime.InferenceSession(str(weights / "sam.onnx"), providers=["CPUExecutionProvider"])
    for ours, theirs in ((session.get_inputs(), stock.get_inputs()), (session.get_outputs(), stock.get_outputs())):
        assert [one.name for one in ours] == [one.name for one in theirs]
        assert [one.type for one in ours] == [one.type for one in theirs]
    for size, kind in list(CASES.values())[:3]:
        given = inputs(size, 11, **kind)
        close(session.run(None, given), stock.run(None, given))


def test_it_uses_standard_operators_only(exported: bytes) -> None:
    model = onnx.load_from_string(exported)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {""}
    assert [one.name for one in model.graph.input] == NAMES
    assert [one.name for one in model.graph.output] == OUTPUTS
