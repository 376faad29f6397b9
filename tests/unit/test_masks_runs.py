"""Area and bounding box of a mask, computed from its vertical runs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from prompt_api.masks.runs import odd_ones
from tests.support.masks_material import runs_of

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))


@settings(deadline=None)
@given(MASKS)
def test_area_and_bbox_are_those_of_the_pixels(mask: NDArray[np.bool_]) -> None:
    runs = runs_of(mask)
    assert runs.area == mask.sum()
    if mask.any():
        y, x = np.nonzero(mask)
        assert runs.bbox == (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1)


def test_an_empty_mask_has_no_area_and_an_empty_box() -> None:
    runs = runs_of(np.zeros((3, 4), dtype=bool))
    assert runs.area == 0
    assert runs.bbox == (0, 0, 0, 0)


def test_measures_are_plain_integers_that_json_knows() -> None:
    runs = runs_of(np.ones((3, 4), dtype=bool))
    assert {type(value) for value in (runs.area, *runs.bbox)} == {int}


@settings(deadline=None)
@given(st.lists(st.integers(0, 9)))
def test_odd_ones_are_the_values_that_occur_an_odd_number_of_times(values: list[int]) -> None:
    odd = [value for value in range(10) if values.count(value) % 2]
    assert odd_ones(np.sort(np.array(values, dtype=np.int64))).tolist() == odd
