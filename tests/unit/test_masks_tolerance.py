"""Polygons within a tolerance: valid, near the mask's edge, one for each part, and with its holes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from shapely import is_valid_reason
from shapely.geometry import MultiPolygon
from shapely.geometry import Polygon as Shape

from prompt_api.masks.polygons import Polygon, encode_polygons
from prompt_api.models.sam1.boundary import mask_runs
from tests.support.masks_material import noisy_logits, runs_of, smooth_logits

Mask = NDArray[np.bool_]

tolerances = st.sampled_from([0.3, 0.6, 1, 1.5, 2, 3, 5, 9, 30, 1000])


def shape_of(polygons: list[Polygon]) -> MultiPolygon:
    return MultiPolygon([Shape(polygon["outer"], polygon["holes"]) for polygon in polygons])


def count(polygons: list[Polygon]) -> int:
    return sum(len(ring) for polygon in polygons for ring in (polygon["outer"], *polygon["holes"]))


def check(exact: list[Polygon], near: list[Polygon], tolerance: float) -> None:
    """Check that `near` is valid, and each of its rings within the tolerance of the same ring of `exact`."""
    shape = shape_of(near)
    assert shape.is_valid, is_valid_reason(shape)
    assert len(exact) == len(near)
    for before, after in zip(shape_of(exact).geoms, shape.geoms, strict=True):
        assert len(before.interiors) == len(after.interiors)
        rings = zip((before.exterior, *before.interiors), (after.exterior, *after.interiors), strict=True)
        for one, other in rings:
            # Points of the one that are farthest from the other are corners, so this is the exact distance.
            assert one.hausdorff_distance(other) <= tolerance + 1e-9
            assert one.is_ccw == other.is_ccw
            assert one.coords[0] == other.coords[0]
            assert set(other.coords) <= set(one.coords)


@settings(deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=14)))
def test_exact_polygons_are_valid_and_have_the_area_of_the_mask(mask: Mask) -> None:
    shape = shape_of(encode_polygons(runs_of(mask)))
    assert shape.is_valid, is_valid_reason(shape)
    assert shape.area == mask.sum()
    for polygon in shape.geoms:
        # y grows downwards here, so clockwise on the screen is what shapely calls counterclockwise.
        assert polygon.exterior.is_ccw
        assert not any(hole.is_ccw for hole in polygon.interiors)


@settings(deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=14)), tolerances)
def test_polygons_of_any_mask_are_valid_and_keep_the_tolerance(mask: Mask, tolerance: float) -> None:
    runs = runs_of(mask)
    check(encode_polygons(runs), encode_polygons(runs, tolerance), tolerance)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32), st.sampled_from([0.7, 1.2, 2.5]), st.floats(0.1, 0.9), tolerances)
def test_polygons_of_blobs_are_valid_and_keep_the_tolerance(
    seed: int, smoothness: float, share: float, tolerance: float
) -> None:
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(45, 60)), smoothness)
    runs = runs_of(field > np.quantile(field, share))
    check(encode_polygons(runs), encode_polygons(runs, tolerance), tolerance)


@pytest.mark.parametrize("tolerance", [1, 8])
@pytest.mark.parametrize("logits", [smooth_logits(4, detail=12), noisy_logits(4)[:256]], ids=["smooth", "noisy"])
def test_polygons_of_photo_sized_masks_are_valid_and_have_fewer_corners(
    logits: NDArray[np.float32], tolerance: float
) -> None:
    runs = mask_runs(logits, (480, 720))
    exact, near = encode_polygons(runs), encode_polygons(runs, tolerance)
    check(exact, near, tolerance)
    assert count(near) < count(exact) / 2


def test_a_slanted_edge_becomes_a_line() -> None:
    (polygon,) = encode_polygons(runs_of(np.tri(200, dtype=bool)), 1)
    assert len(polygon["outer"]) <= 6


def test_a_hole_in_a_bump_stays_inside() -> None:
    """The straight line over the bump would leave the hole in it outside."""
    mask = np.zeros((30, 60), dtype=bool)
    mask[:20, :] = True
    mask[20:23, 28:32] = True
    (polygon,) = encode_polygons(runs_of(mask), 5)
    assert len(polygon["outer"]) == 4
    mask[21, 29] = False
    runs = runs_of(mask)
    check(encode_polygons(runs), encode_polygons(runs, 5), 5)


def test_a_part_that_is_smaller_than_the_tolerance_keeps_an_area() -> None:
    mask = np.zeros((9, 9), dtype=bool)
    mask[4, 4] = True
    (polygon,) = encode_polygons(runs_of(mask), 100)
    assert Shape(polygon["outer"]).area > 0
