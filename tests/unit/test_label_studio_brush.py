"""Label Studio's brush encoding: the same bytes as its own converter writes, and the same pixels when read back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from prompt_api.integrations.label_studio.brush import encode_brush
from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.sam1.boundary import mask_runs
from tests.support.masks_material import noisy_logits, painted, runs_of, smooth_logits
from tests.support.rle_pack import decode_brush


def test_the_known_mask_is_written_as_label_studios_converter_writes_it() -> None:
    mask = np.zeros((3, 5), dtype=bool)
    mask[1, 1:3] = True
    assert encode_brush(runs_of(mask)) == [0, 0, 0, 60, 57, 27, 254, 23, 0, 159, 255, 13, 128, 0]


# Written by label_studio_sdk.converter.brush.mask2rle, 2.1.2. The last ends on a full byte but is still padded.
@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ([[1]], [0, 0, 0, 4, 57, 27, 252, 127, 224]),
        ([[0, 1], [1, 0]], [0, 0, 0, 16, 57, 27, 252, 96, 19, 255, 198, 0]),
        ([[1, 1, 1, 1, 1]], [0, 0, 0, 20, 57, 27, 254, 19, 255, 0]),
    ],
)
def test_small_masks_are_written_as_the_converter_writes_them(pixels: list[list[int]], expected: list[int]) -> None:
    assert encode_brush(runs_of(np.array(pixels, dtype=bool))) == expected


@settings(deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_any_mask_reads_back_as_its_pixels(mask: NDArray[np.bool_]) -> None:
    assert (decode_brush(encode_brush(runs_of(mask)), mask.shape) == mask).all()


@pytest.mark.parametrize("logits", [smooth_logits(2), noisy_logits(2)], ids=["smooth", "noisy"])
def test_a_photo_sized_mask_reads_back_as_its_pixels(logits: NDArray[np.float32]) -> None:
    runs = mask_runs(logits, (600, 900))
    assert (decode_brush(encode_brush(runs), (600, 900)) == painted(runs)).all()


@pytest.mark.parametrize("value", [False, True])
def test_runs_longer_than_can_be_written_are_cut(value: bool) -> None:
    mask = np.full((500, 900), value)
    packed = encode_brush(runs_of(mask))
    assert len(packed) < 120
    assert (decode_brush(packed, mask.shape) == value).all()


def test_a_mask_to_the_edges_does_not_run_over_the_end_of_a_row() -> None:
    mask = np.zeros((4, 3), dtype=bool)
    mask[1, 2] = mask[2, 0] = mask[3, 2] = True
    assert (decode_brush(encode_brush(runs_of(mask)), (4, 3)) == mask).all()


def test_a_mask_of_nothing_is_all_background() -> None:
    nothing = ColumnRuns((7, 5), *(np.zeros(0, dtype=np.int64) for _ in range(3)))
    assert not decode_brush(encode_brush(nothing), (7, 5)).any()
