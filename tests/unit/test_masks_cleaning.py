"""Cleaned masks, compared with what labelling every pixel gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from skimage.measure import label

from prompt_api.masks.cleaning import Cleaning, Keep, clean
from prompt_api.masks.parts import areas_of_parts, part_of_each_run
from prompt_api.masks.polygons import encode_polygons
from prompt_api.masks.runs import ColumnRuns
from tests.support.masks_material import painted, runs_of

Mask = NDArray[np.bool_]
NOWHERE = np.zeros((0, 2))

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=14))
areas = st.integers(0, 12)
clicks = st.lists(st.tuples(st.floats(-20, 30), st.floats(-20, 30)), max_size=3).map(
    lambda some: np.array(some).reshape(-1, 2)
)


def drawn(*rows: str) -> ColumnRuns:
    return runs_of(np.array([[pixel == "#" for pixel in row] for row in rows]))


def rows_of(runs: ColumnRuns) -> list[str]:
    return ["".join("#" if pixel else "." for pixel in row) for row in painted(runs)]


def holes_of(mask: Mask) -> list[Mask]:
    """Return each 8-connected part of the background that does not reach the edge of the image."""
    numbered = label(~mask, connectivity=2)
    framed = np.pad(numbered[1:-1, 1:-1], 1, constant_values=0) if min(mask.shape) > 2 else np.zeros_like(numbered)
    at_edge = set(numbered[framed != numbered].tolist())
    return [numbered == number for number in range(1, numbered.max() + 1) if number not in at_edge]


def parts_of(mask: Mask) -> list[Mask]:
    numbered = label(mask, connectivity=1)
    return [numbered == number for number in range(1, numbered.max() + 1)]


@settings(deadline=None)
@given(masks, st.booleans())
def test_runs_have_one_part_if_and_only_if_their_pixels_are_connected(mask: Mask, by_corners: bool) -> None:
    runs = runs_of(mask)
    parts = part_of_each_run(runs, by_corners=by_corners)
    numbered = label(mask, connectivity=2 if by_corners else 1)
    pairs = set(zip(parts.tolist(), numbered[runs.top, runs.x].tolist(), strict=True))
    assert len(pairs) == numbered.max() == len(set(parts.tolist()))
    for part, number in pairs:
        assert areas_of_parts(runs, parts)[part] == (numbered == number).sum()


@settings(deadline=None)
@given(masks, areas)
def test_holes_up_to_an_area_are_filled_and_nothing_else_changes(mask: Mask, most: int) -> None:
    expected = mask.copy()
    for hole in holes_of(mask):
        expected |= hole & (hole.sum() <= most)
    assert np.array_equal(painted(clean(runs_of(mask), Cleaning(fill_holes=most), NOWHERE)), expected)


@settings(deadline=None)
@given(masks, areas)
def test_parts_up_to_an_area_are_removed_but_never_the_largest(mask: Mask, most: int) -> None:
    found = painted(clean(runs_of(mask), Cleaning(remove_specks=most), NOWHERE))
    parts = parts_of(mask)
    large = [part for part in parts if part.sum() > most]
    if large or not parts:
        assert np.array_equal(found, np.any(large, axis=0) if large else np.zeros_like(mask))
    else:
        assert any(np.array_equal(found, part) for part in parts)
        assert found.sum() == max(part.sum() for part in parts)


@settings(deadline=None)
@given(masks, areas, clicks)
def test_the_parts_that_were_clicked_stay(mask: Mask, most: int, clicked: NDArray[np.float64]) -> None:
    found = painted(clean(runs_of(mask), Cleaning(most, most, Keep.CLICKED), clicked))
    filled = painted(clean(runs_of(mask), Cleaning(fill_holes=most), NOWHERE))
    parts = parts_of(filled)
    height, width = mask.shape
    pixels = [(min(max(int(np.floor(y)), 0), height - 1), min(max(int(np.floor(x)), 0), width - 1)) for x, y in clicked]
    wanted = [part for part in parts if any(part[pixel] for pixel in pixels)]
    if wanted:
        assert np.array_equal(found, np.any(wanted, axis=0))
    elif parts and pixels:
        away = [min(((np.argwhere(part) - pixel) ** 2).sum(axis=1).min() for pixel in pixels) for part in parts]
        assert any(np.array_equal(found, part) for part, far in zip(parts, away, strict=True) if far == min(away))
    elif parts:
        assert any(np.array_equal(found, part) for part in parts)
        assert found.sum() == max(part.sum() for part in parts)


@settings(deadline=None)
@given(masks, areas, areas, st.sampled_from(Keep), clicks)
def test_a_cleaned_mask_stays_as_it_is_and_has_no_small_holes(
    mask: Mask, holes: int, specks: int, keep: Keep, clicked: NDArray[np.float64]
) -> None:
    cleaning = Cleaning(holes, specks, keep)
    once = clean(runs_of(mask), cleaning, clicked)
    assert np.array_equal(painted(clean(once, cleaning, clicked)), painted(once))
    assert all(hole.sum() > holes for hole in holes_of(painted(once)))
    assert bool(once.area) == bool(mask.any())
    if keep is Keep.LARGEST:
        assert len(encode_polygons(once)) == bool(mask.any())


def test_the_largest_part_may_lie_in_a_hole_that_is_filled() -> None:
    assert rows_of(clean(drawn("###..", "#.#..", "###.."), Cleaning(1, 0, Keep.LARGEST), NOWHERE))[1] == "###.."


def test_background_at_the_edge_of_the_image_is_no_hole() -> None:
    runs = drawn("#.#", "###")
    assert clean(runs, Cleaning(fill_holes=100), NOWHERE) is runs


def test_holes_that_touch_at_a_corner_are_one_hole() -> None:
    runs = drawn("####", "#.##", "##.#", "####")
    assert clean(runs, Cleaning(fill_holes=1), NOWHERE).area == 14
    assert clean(runs, Cleaning(fill_holes=2), NOWHERE).area == 16


def test_of_two_largest_parts_the_one_further_left_stays() -> None:
    assert rows_of(clean(drawn("..##", "....", "##.."), Cleaning(keep=Keep.LARGEST), NOWHERE)) == [
        "....",
        "....",
        "##..",
    ]


@pytest.mark.parametrize(
    ("click", "row"), [((0.5, 0.5), "#...."), ((1.4, 0.5), "#...."), ((2.6, 0.9), "...##"), ((400, -3), "...##")]
)
def test_a_click_beside_all_parts_keeps_the_nearest(click: tuple[float, float], row: str) -> None:
    assert rows_of(clean(drawn("#..##"), Cleaning(keep=Keep.CLICKED), np.array([click]))) == [row]


def test_without_a_click_the_largest_part_stays() -> None:
    assert rows_of(clean(drawn("#..##"), Cleaning(keep=Keep.CLICKED), NOWHERE)) == ["...##"]


def test_an_empty_mask_stays_empty() -> None:
    everything: Any = Cleaning(9, 9, Keep.CLICKED)
    assert clean(drawn("..", ".."), everything, np.array([[0.0, 0.0]])).area == 0


def test_a_snail_of_one_part_is_found_to_be_one() -> None:
    mask = np.zeros((101, 101), bool)
    x, y, (dx, dy) = 0, 0, (1, 0)
    for side in [100, *(number for pair in range(100, 0, -2) for number in (pair, pair))]:
        for _ in range(side):
            mask[y, x] = True
            x, y = x + dx, y + dy
        dx, dy = -dy, dx
    parts = part_of_each_run(runs_of(mask), by_corners=False)
    assert parts.max() == label(mask, connectivity=1).max() - 1
