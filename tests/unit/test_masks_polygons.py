"""Polygons along pixel edges: filled by the documented rule, they give the mask again."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from pycocotools import mask as coco
from skimage.draw import polygon2mask
from skimage.measure import label

from prompt_api.masks.polygons import Polygon, Ring, encode_polygons
from prompt_api.models.sam1.boundary import mask_runs
from tests.support.masks_material import coco_decoded, noisy_logits, painted, runs_of, smooth_logits


def polygons_of(*rows: str) -> list[Polygon]:
    return encode_polygons(runs_of(np.array([[pixel == "#" for pixel in row] for row in rows])))


def sides(ring: Ring) -> list[tuple[list[int], list[int]]]:
    return list(zip(ring, ring[1:] + ring[:1], strict=True))


def filled(ring: Ring, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill by the even-odd rule: a pixel's centre is inside if an odd number of vertical sides lies to its left."""
    inside = np.zeros(shape, dtype=bool)
    for (x0, y0), (x1, y1) in sides(ring):
        if x0 == x1:
            inside[min(y0, y1) : max(y0, y1), x0:] ^= True
    return inside


def signed_area(ring: Ring) -> int:
    """Return the ring's area. It is positive if the ring runs clockwise on a screen, where y grows downwards."""
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in sides(ring)) // 2


@settings(deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=14)))
def test_each_polygon_filled_is_one_connected_part_of_the_mask(mask: NDArray[np.bool_]) -> None:
    covered = np.zeros(mask.shape, dtype=int)
    polygons = encode_polygons(runs_of(mask))
    for polygon in polygons:
        part = filled(polygon["outer"], mask.shape)
        for hole in polygon["holes"]:
            inside = filled(hole, mask.shape)
            assert (part & inside == inside).all(), "a hole lies inside its outer ring"
            part &= ~inside
        assert label(part, connectivity=1).max() == 1
        covered += part
    assert (covered == mask).all()
    assert len(polygons) == label(mask, connectivity=1).max()


@settings(deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=14)))
def test_rings_have_only_corners_and_turn_as_documented(mask: NDArray[np.bool_]) -> None:
    area = 0
    for polygon in encode_polygons(runs_of(mask)):
        assert signed_area(polygon["outer"]) > 0
        assert all(signed_area(hole) < 0 for hole in polygon["holes"])
        for ring in (polygon["outer"], *polygon["holes"]):
            area += signed_area(ring)
            level = [y0 == y1 for (_, y0), (_, y1) in sides(ring)]
            upright = [x0 == x1 for (x0, _), (x1, _) in sides(ring)]
            assert all(a != b for a, b in zip(level, upright, strict=True)), (
                "each side has a length and lies on an axis"
            )
            assert all(a != b for a, b in zip(level, level[1:] + level[:1], strict=True)), "each point is a corner"
    assert area == mask.sum()


def test_one_pixel_is_the_square_around_its_centre() -> None:
    assert polygons_of("....", ".#..") == [{"outer": [[1, 1], [2, 1], [2, 2], [1, 2]], "holes": []}]


def test_a_full_mask_reaches_the_edges_of_the_image() -> None:
    assert polygons_of("###", "###") == [{"outer": [[0, 0], [3, 0], [3, 2], [0, 2]], "holes": []}]


def test_an_empty_mask_has_no_polygons() -> None:
    assert polygons_of("...", "...") == []


def test_an_island_in_a_hole_is_a_polygon_of_its_own() -> None:
    outer, island = polygons_of("#####", "#...#", "#.#.#", "#...#", "#####")
    assert len(outer["holes"]) == 1
    assert island == {"outer": [[2, 2], [3, 2], [3, 3], [2, 3]], "holes": []}


def test_pixels_that_touch_by_a_corner_are_two_parts() -> None:
    assert len(polygons_of("#.", ".#")) == 2
    assert len(polygons_of(".#", "#.")) == 2


def test_holes_that_touch_by_a_corner_are_two_rings() -> None:
    (polygon,) = polygons_of("####", "#.##", "##.#", "####")
    assert [signed_area(hole) for hole in polygon["holes"]] == [-1, -1]


def test_what_a_part_encloses_where_it_touches_itself_is_a_hole() -> None:
    (polygon,) = polygons_of("###", "#.#", "##.")
    assert polygon["outer"] == [[0, 0], [3, 0], [3, 2], [2, 2], [2, 3], [0, 3]]
    assert polygon["holes"] == [[[2, 1], [1, 1], [1, 2], [2, 2]]]


def test_each_hole_belongs_to_the_part_around_it() -> None:
    left, right = polygons_of("####.#####", "#..#.#.#.#", "#..#.#####", "####.#####")
    assert len(left["holes"]) == 1
    assert len(right["holes"]) == 2


@pytest.mark.parametrize("logits", [smooth_logits(4, detail=12), noisy_logits(4)], ids=["smooth", "noisy"])
def test_the_polygons_of_a_photo_sized_mask_fill_to_its_pixels(logits: NDArray[np.float32]) -> None:
    runs = mask_runs(logits, (480, 720))
    mask = np.zeros(runs.size, dtype=bool)
    for polygon in encode_polygons(runs):
        for ring in (polygon["outer"], *polygon["holes"]):
            mask ^= filled(ring, runs.size)
    assert (mask == painted(runs)).all()


def test_other_rasterisers_agree() -> None:
    runs = mask_runs(smooth_logits(4), (300, 450))
    by_centres, by_coco = np.zeros((2, *runs.size), dtype=bool)
    for polygon in encode_polygons(runs):
        for ring in (polygon["outer"], *polygon["holes"]):
            by_centres ^= polygon2mask(runs.size, np.array(ring)[:, ::-1] - 0.5)
            by_coco ^= coco_decoded(coco.frPyObjects([np.ravel(ring).tolist()], *runs.size)[0])
    mask = painted(runs)
    assert (by_centres == mask).all()
    assert (by_coco & mask).sum() / (by_coco | mask).sum() > 0.999


def test_polygons_are_json() -> None:
    polygons = encode_polygons(mask_runs(smooth_logits(1), (100, 150)))
    assert json.loads(json.dumps(polygons)) == polygons
