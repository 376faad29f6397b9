"""Polygons that people can edit: close to the mask, with few corners."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.draw import disk, polygon2mask

from prompt_api.integrations.label_studio.outline import outlines, simplify_ring
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


def test_points_left_out_lie_within_the_tolerance() -> None:
    angles = np.linspace(0, 2 * np.pi, 500, endpoint=False)
    ring = np.stack([100 * np.cos(angles), 50 * np.sin(angles)], axis=1)
    simple = simplify_ring(ring, 1.0)
    assert len(simple) < 50
    closed = np.concatenate([simple, simple[:1]])
    starts, along = closed[:-1], np.diff(closed, axis=0)
    for point in ring:
        place = (((point - starts) * along).sum(axis=1) / (along**2).sum(axis=1)).clip(0, 1)
        assert np.linalg.norm(point - starts - place[:, None] * along, axis=1).min() <= 1.0
