"""Recovering a SAM mask decoder's weights from an ONNX export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from prompt_api.models.sam1.weights import checked, read_export
from shared.contract.errors import WeightsError
from tests.unit.decoder_material import random_weights


def test_complete_weights_pass_and_others_are_dropped() -> None:
    weights = random_weights()
    assert checked({**weights, "image_encoder.pos_embed": np.zeros(3)}).keys() == weights.keys()


def test_weights_of_another_precision_become_float32() -> None:
    halves = {name: array.astype(np.float16) for name, array in random_weights().items()}
    assert {array.dtype for array in checked(halves).values()} == {np.dtype(np.float32)}


def test_a_missing_weight_is_named() -> None:
    weights = random_weights()
    del weights["mask_decoder.iou_token.weight"]
    with pytest.raises(WeightsError, match=r"1 weights are missing, the first is mask_decoder\.iou_token\.weight"):
        checked(weights)


def test_a_weight_of_another_shape_is_named() -> None:
    weights = random_weights()
    weights["mask_decoder.mask_tokens.weight"] = np.zeros((3, 256), np.float32)
    with pytest.raises(WeightsError, match=r"mask_tokens\.weight has shape \(3, 256\), not \(4, 256\)"):
        checked(weights)


def test_a_weight_that_is_not_finite_is_refused() -> None:
    weights = random_weights()
    weights["mask_decoder.iou_token.weight"][0, 7] = np.nan
    with pytest.raises(WeightsError, match="not finite"):
        checked(weights)


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x08\x08\xff\xff\xff"])
def test_a_file_that_is_no_export_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sam.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightsError):
        read_export(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"sam\.onnx cannot be read"):
        read_export(tmp_path / "sam.onnx")


def test_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sam.onnx"
    path.write_bytes(helper.make_model(helper.make_graph([], "empty", [], [])).SerializeToString())
    with pytest.raises(WeightsError, match="137 weights are missing"):
        read_export(path)
