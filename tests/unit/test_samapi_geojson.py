"""GeoJSON of masks: the same pixels, and geometries that JTS takes for valid."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from prompt_api.integrations.samapi.geojson import geometry
from tests.support.filled import filled
from tests.support.masks_material import runs_of

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def rings_of(found: Any) -> list[list[Any]]:
    return [found["coordinates"]] if found["type"] == "Polygon" else found["coordinates"]


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_filling_the_geometry_gives_the_mask(mask: Mask) -> None:
    found = geometry(runs_of(mask))
    if found is None:
        assert not mask.any()
        return
    assert np.array_equal(filled(found, mask.shape), mask)


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_no_ring_visits_a_point_twice_and_each_is_closed(mask: Mask) -> None:
    found = geometry(runs_of(mask))
    for polygon in rings_of(found) if found else []:
        for ring in polygon:
            assert ring[0] == ring[-1]
            assert max(Counter(map(tuple, ring[1:])).values()) == 1
            assert len(ring) >= 5
        outer = np.array(polygon[0])
        for hole in polygon[1:]:
            assert (np.array(hole).min(axis=0) >= outer.min(axis=0)).all()
            assert (np.array(hole).max(axis=0) <= outer.max(axis=0)).all()


def test_what_a_ring_encloses_where_it_touches_itself_is_a_hole() -> None:
    mask = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool)
    found = geometry(runs_of(mask))
    assert found is not None
    assert found["type"] == "Polygon"
    outer, hole = found["coordinates"]
    assert sorted(hole[:-1]) == [[1, 1], [1, 2], [2, 1], [2, 2]]
    assert [2, 2] in outer
    assert np.array_equal(filled(dict(found), mask.shape), mask)


def test_parts_that_touch_at_a_corner_are_two_polygons() -> None:
    found = geometry(runs_of(np.array([[1, 0], [0, 1]], bool)))
    assert found is not None
    assert found["type"] == "MultiPolygon"
    assert len(found["coordinates"]) == 2


@given(st.integers(1, 4), st.integers(1, 4))
def test_coordinates_are_edges_of_pixels(height: int, width: int) -> None:
    found = geometry(runs_of(np.ones((height, width), bool)))
    assert found is not None
    (ring,) = found["coordinates"]
    assert sorted(ring[:-1]) == sorted([[0, 0], [0, height], [width, 0], [width, height]])
