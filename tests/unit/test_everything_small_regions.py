"""Small holes and islands, compared with segment_anything's own way over whole arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from prompt_api.everything.candidates import Candidate, packed
from prompt_api.everything.small_regions import (
    inverted,
    without_holes,
    without_islands,
    without_small_regions,
)
from prompt_api.masks.runs import ColumnRuns
from tests.support.automatic import remove_small_regions
from tests.support.masks_material import painted, runs_of

Masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))


@given(mask=Masks, least=st.integers(1, 12))
def test_holes_are_filled_as_segment_anything_fills_them(mask: NDArray[np.bool_], least: int) -> None:
    expected, changed = remove_small_regions(mask, least, "holes")
    runs = runs_of(mask)
    filled = without_holes(runs, least)
    np.testing.assert_array_equal(painted(filled), expected)
    assert (filled is not runs) == changed


@given(mask=Masks, least=st.integers(1, 12))
def test_islands_are_removed_as_segment_anything_removes_them(mask: NDArray[np.bool_], least: int) -> None:
    expected, changed = remove_small_regions(mask, least, "islands")
    runs = runs_of(mask)
    left = without_islands(runs, least)
    np.testing.assert_array_equal(painted(left), expected)
    assert (left is not runs) == changed


@given(mask=Masks)
def test_the_background_of_the_background_is_the_mask(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(painted(inverted(runs_of(mask))), ~mask)
    np.testing.assert_array_equal(painted(inverted(inverted(runs_of(mask)))), mask)


def candidate(mask: NDArray[np.bool_], score: float) -> Candidate:
    height, width = mask.shape
    return Candidate(
        np.float32(score), np.float32(1), (0, 0), (0, 0, width, height), (height, width), packed(runs_of(mask))
    )


def test_a_mask_that_did_not_change_stays_instead_of_one_that_became_like_it() -> None:
    clean = np.zeros((40, 40), bool)
    clean[5:30, 5:30] = True
    with_island = clean.copy()
    with_island[36:38, 36:38] = True
    better, worse = candidate(with_island, 0.99), candidate(clean, 0.9)
    assert without_small_regions([better, worse], 10, 0.7) == [worse]


def test_a_mask_that_changed_has_a_new_box_and_new_runs() -> None:
    mask = np.zeros((40, 40), bool)
    mask[5:30, 5:30] = True
    mask[10, 10] = False
    mask[36:38, 36:38] = True
    (cleaned,) = without_small_regions([candidate(mask, 0.9)], 10, 0.7)
    assert cleaned.box == (5, 5, 29, 29)
    assert cleaned.record().area == 25 * 25


def test_nothing_comes_of_nothing() -> None:
    assert without_small_regions([], 10, 0.7) == []


@pytest.mark.parametrize("least", [1, 3])
def test_large_regions_are_left_alone(least: int) -> None:
    runs = ColumnRuns((4, 4), np.array([1]), np.array([0]), np.array([3]))
    assert without_islands(without_holes(runs, least), least) is runs
