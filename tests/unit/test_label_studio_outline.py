"""Polygons that people can edit: close to the mask, with few corners."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.draw import disk, ellipse, polygon2mask

from prompt_api.integrations.label_studio.outline import LEAST_IOU, filled_iou, outlines
from prompt_api.masks.polygons import encode_polygons
from tests.support.masks_material import runs_of


def filled(rings: list[list[list[float]]], size: tuple[int, int]) -> NDArray[np.bool_]:
    height, width = size
    mask = np.zeros(size, dtype=bool)
    for ring in rings:
        mask |= polygon2mask(size, [(y / 100 * height - 0.5, x / 100 * width - 0.5) for x, y in ring])
    return mask


def round_mask(size: tuple[int, int], *discs: tuple[int, int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(size, dtype=bool)
    for y, x, radius in discs:
        mask[disk((y, x), radius, shape=size)] = True
    return mask


def test_a_rectangle_has_four_corners_in_percent() -> None:
    mask = np.zeros((40, 80), dtype=bool)
    mask[10:30, 20:60] = True
    ((*corners,),) = outlines(runs_of(mask))
    assert sorted(corners) == [[25, 25], [25, 75], [75, 25], [75, 75]]


def test_a_round_mask_keeps_its_shape_with_few_corners() -> None:
    mask = round_mask((300, 400), (150, 200, 90))
    (ring,) = outlines(runs_of(mask))
    drawn = filled([ring], mask.shape)
    assert len(ring) < 60
    assert (drawn & mask).sum() / (drawn | mask).sum() > 0.98


def test_parts_come_largest_first_and_specks_not_at_all() -> None:
    mask = round_mask((300, 400), (60, 60, 30), (150, 250, 90), (280, 30, 2))
    large, small = outlines(runs_of(mask))
    assert np.mean(large, axis=0) == pytest.approx([62.5, 50], abs=1)
    assert np.mean(small, axis=0) == pytest.approx([15, 20], abs=1)


def test_holes_are_filled() -> None:
    mask = round_mask((300, 400), (150, 200, 90))
    mask[140:160, 190:210] = False
    assert len(outlines(runs_of(mask))) == 1


def test_a_single_pixel_is_a_polygon_and_nothing_is_none() -> None:
    mask = np.zeros((4, 4), dtype=bool)
    assert outlines(runs_of(mask)) == []
    mask[1, 2] = True
    assert len(outlines(runs_of(mask))[0]) >= 3


@pytest.mark.parametrize("tolerance", [1, 2, 4])
def test_points_left_out_lie_within_the_tolerance_that_is_asked_for(tolerance: float) -> None:
    mask = slanted((300, 400), 200)
    (simple,) = outlines(runs_of(mask), tolerance)
    starts = np.array(simple) / 100 * (400, 300)
    along = np.roll(starts, -1, axis=0) - starts
    assert len(simple) < 60
    for point in ring_of(mask):
        place = (((point - starts) * along).sum(axis=1) / (along**2).sum(axis=1)).clip(0, 1)
        assert np.linalg.norm(point - starts - place[:, None] * along, axis=1).min() <= tolerance + 1e-9


def star(size: tuple[int, int], across: int) -> NDArray[np.bool_]:
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    radius = across / 2 * (1 + 0.15 * np.sin(5 * angles) + 0.05 * np.sin(11 * angles + 1))
    y, x = size[0] / 2 + radius * np.sin(angles), size[1] / 2 + radius * np.cos(angles)
    return polygon2mask(size, np.stack([y, x], axis=1))


def slanted(size: tuple[int, int], across: int) -> NDArray[np.bool_]:
    mask = np.zeros(size, dtype=bool)
    mask[ellipse(size[0] / 2, size[1] / 2, across / 2, across / 4, shape=size, rotation=0.6)] = True
    return mask


def disc(size: tuple[int, int], across: int) -> NDArray[np.bool_]:
    return round_mask(size, (size[0] // 2, size[1] // 2, across // 2))


def corner(size: tuple[int, int], across: int) -> NDArray[np.bool_]:
    mask = np.zeros(size, dtype=bool)
    top, left, thick = (size[0] - across) // 2, (size[1] - across) // 2, max(3, across // 8)
    mask[top : top + across, left : left + thick] = True
    mask[top : top + thick, left : left + across] = True
    return mask


@pytest.mark.parametrize("shape", [disc, slanted, star, corner])
@pytest.mark.parametrize("across", [30, 40, 100, 400])
@pytest.mark.parametrize("size", [(600, 800), (1500, 4000)])
def test_a_small_object_keeps_its_shape_in_a_large_picture(
    shape: Callable[[tuple[int, int], int], NDArray[np.bool_]], across: int, size: tuple[int, int]
) -> None:
    mask = shape(size, across)
    (ring,) = outlines(runs_of(mask))
    drawn = filled([ring], size)
    assert (drawn & mask).sum() / (drawn | mask).sum() >= 0.97
    assert len(ring) <= 60


def test_no_point_can_be_left_out_where_the_size_of_the_object_decides() -> None:
    mask = disc((1500, 4000), 100)
    (ring,) = outlines(runs_of(mask))
    border = ring_of(mask)
    points = np.array(ring) / 100 * (4000, 1500)
    assert filled_iou(points, border) >= LEAST_IOU
    for index in range(len(points)):
        assert filled_iou(np.delete(points, index, axis=0), border) < LEAST_IOU


def ring_of(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    (polygon,) = encode_polygons(runs_of(mask))
    return np.array(polygon["outer"], dtype=np.float64)


def test_the_iou_of_rings_is_that_of_the_pixels_in_them() -> None:
    size = (60, 80)
    first, second = slanted(size, 40), disc(size, 30)
    expected = (first & second).sum() / (first | second).sum()
    assert filled_iou(ring_of(first), ring_of(second)) == pytest.approx(expected)
    assert filled_iou(ring_of(first), ring_of(first)) == 1.0
