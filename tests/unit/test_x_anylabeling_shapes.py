"""Shapes of masks for X-AnyLabeling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from prompt_api.integrations.x_anylabeling.rectangles import smallest_rectangle
from prompt_api.integrations.x_anylabeling.shapes import MOST_PARTS, shapes
from prompt_api.integrations.x_anylabeling.wire import ShapeForm
from tests.support.masks_material import runs_of

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def ellipse(height: int, width: int, across: float, down: float, turned: float = 0.0) -> Mask:
    y, x = np.mgrid[:height, :width] + 0.5
    u, v = x - width / 2, y - height / 2
    a, b = u * math.cos(turned) + v * math.sin(turned), v * math.cos(turned) - u * math.sin(turned)
    return (a / across) ** 2 + (b / down) ** 2 <= 1


def test_a_polygon_has_few_points_and_its_first_one_twice() -> None:
    runs = runs_of(ellipse(200, 300, 120, 60))
    fine, coarse = (shapes(runs, 0.9, ShapeForm.POLYGON, fineness)[0]["points"] for fineness in (0.0001, 0.01))
    assert fine[0] == fine[-1]
    assert 10 < len(coarse) < len(fine) < 60


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_polygons_stay_near_the_edge_of_their_parts(mask: Mask) -> None:
    runs = runs_of(mask)
    found = shapes(runs, 2.0, ShapeForm.POLYGON, 0.0)
    assert bool(found) == bool(mask.any())
    for shape in found:
        assert (shape["label"], shape["score"]) == ("AUTOLABEL_OBJECT", 1.0)
        points = np.array(shape["points"])
        assert len(points) >= 4
        assert points.min() >= 0
        assert (points.max(axis=0) <= mask.shape[::-1]).all()


def test_small_parts_are_left_out_and_very_many_too() -> None:
    mask = np.zeros((60, 60), bool)
    mask[5:25, 5:25] = mask[40:42, 40:42] = True
    assert len(shapes(runs_of(mask), 0.9, ShapeForm.POLYGON, 0.001)) == 1
    dots = np.zeros((80, 80), bool)
    dots[::4, ::4] = dots[1::4, ::4] = True
    assert len(shapes(runs_of(dots), 0.9, ShapeForm.POLYGON, 0.001)) == MOST_PARTS


def test_one_rectangle_is_around_all_parts() -> None:
    mask = np.zeros((60, 80), bool)
    mask[5:25, 10:30] = mask[30:50, 40:60] = True
    (shape,) = shapes(runs_of(mask), -0.5, ShapeForm.RECTANGLE, 0.001)
    assert shape["points"] == [[10, 5], [60, 5], [60, 50], [10, 50]]
    assert (shape["shape_type"], shape["score"], shape["direction"]) == ("rectangle", 0.0, 0.0)


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 100, 170])
def test_a_rotated_rectangle_lies_along_the_object(degrees: int) -> None:
    turned = math.radians(degrees)
    (shape,) = shapes(runs_of(ellipse(300, 300, 120, 30, turned)), 0.9, ShapeForm.ROTATION, 0.001)
    corners = np.array(shape["points"])
    sides = np.hypot(*(np.roll(corners, -1, axis=0) - corners).T)
    assert sorted(sides.round(-1)) == [60, 60, 240, 240]
    x, y = corners[1] - corners[0]
    assert 0 <= shape["direction"] < math.tau
    assert shape["direction"] == pytest.approx(math.atan2(y, x) % math.tau, abs=1e-3)
    off = (shape["direction"] - turned) % (math.pi / 2)
    assert min(off, math.pi / 2 - off) < 0.05


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=12, unique=True))
def test_the_smallest_rectangle_holds_all_points_and_no_angle_gives_a_smaller_one(found: list[tuple[int, int]]) -> None:
    points = np.array(found, float)
    if np.linalg.matrix_rank(points - points[0]) < 2:
        return
    corners = smallest_rectangle(points)
    side, other = corners[1] - corners[0], corners[3] - corners[0]
    assert side @ other == pytest.approx(0, abs=1e-6)
    assert side[0] * other[1] - side[1] * other[0] > 0  # clockwise on the screen, where y goes down
    for axis in (side, other):
        place = (points - corners[0]) @ axis / (axis @ axis)
        assert place.min() > -1e-9
        assert place.max() < 1 + 1e-9
    area = math.hypot(*side) * math.hypot(*other)
    for angle in np.linspace(0, np.pi / 2, 91):
        turned = points @ np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        assert area <= float(np.prod(np.ptp(turned, axis=0))) + 1e-9


def test_the_least_tolerance_smooths_a_slanted_edge() -> None:
    mask = np.tril(np.ones((40, 40), bool))
    (shape,) = shapes(runs_of(mask), 0.9, ShapeForm.POLYGON, 0.0)
    assert len(shape["points"]) <= 6
