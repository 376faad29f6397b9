"""COCO run-length encoding: the same letters that pycocotools writes for the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from pycocotools import mask as coco

from prompt_api.masks.rle import encode_rle
from prompt_api.models.sam1.boundary import mask_runs
from tests.support.masks_material import coco_decoded, noisy_logits, painted, runs_of, smooth_logits


@settings(deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_any_mask_is_written_as_pycocotools_writes_it(mask: NDArray[np.bool_]) -> None:
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encode_rle(runs_of(mask)) == {"size": expected["size"], "counts": expected["counts"].decode()}


@pytest.mark.parametrize("logits", [smooth_logits(2), noisy_logits(2)], ids=["smooth", "noisy"])
def test_the_rle_of_a_photo_sized_mask_decodes_to_its_pixels(logits: NDArray[np.float32]) -> None:
    runs = mask_runs(logits, (1200, 1800))
    rle = encode_rle(runs)
    assert (coco_decoded(rle) == painted(runs)).all()


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_without_a_change_is_one_run(value: bool) -> None:
    mask = np.full((5000, 9000), value)
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encode_rle(runs_of(mask))["counts"] == expected["counts"].decode()
