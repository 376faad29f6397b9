"""A mask as polygons along its pixels' edges, or within a tolerance of them: outer rings and their holes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict  # pydantic accepts the one in typing only from Python 3.12 on

from prompt_api.masks.rings import Rings, rings_of
from prompt_api.masks.runs import ColumnRuns
from prompt_api.masks.simplify import needed_squares
from prompt_api.masks.untangle import touching_corners, untangled

Ring = list[list[int]]


class Polygon(TypedDict):
    """One 4-connected part of a mask.

    Attributes:
        outer: [[x, y], …], clockwise on the screen.
        holes: rings of the same kind, anticlockwise.
    """

    outer: Ring
    holes: list[Ring]


def encode_polygons(runs: ColumnRuns, tolerance: float = 0.0) -> list[Polygon]:
    """Return the 4-connected parts of the mask, topmost first, as polygons that are valid (OGC 06-103r4, 6.1.11).

    Rings run along the edges between pixels, in the frame of prompts: pixel (x, y) is the square from (x, y) to
    (x + 1, y + 1), so all coordinates are whole numbers, from 0 to width or height. A ring lists only its corners,
    never the same point twice, and begins with its topmost edge; of several, the leftmost. It is closed: the first
    point is not repeated at the end. No ring touches or crosses itself; two rings may touch at a corner. Pixels that
    touch only at a corner are not connected, so they belong to different polygons.

    With tolerance 0, a pixel belongs to the mask if and only if its centre lies inside an outer ring and outside that
    ring's holes. So filling the polygons gives the same mask, and the mask's area is that of the outer rings minus that
    of the holes.

    Args:
        tolerance: pixels by which a ring may leave the mask's edge, and the edge the ring. The points are then some of
            the corners. Where rings would cross, and where polygons touch, they keep more corners.
    """
    if not runs.x.size:
        return []
    rings = rings_of(runs)
    if tolerance > 0:
        rings = simplified(rings, np.full(len(rings.part), tolerance))
    corners = rings.points.tolist()
    starts = rings.starts.tolist()
    polygons: dict[int, Polygon] = {}
    for ring, part in enumerate(rings.part.tolist()):
        points = corners[starts[ring] : starts[ring + 1]]
        if part == ring:
            polygons[ring] = Polygon(outer=points, holes=[])
        else:
            polygons[part]["holes"].append(points)
    return [*polygons.values()]


def simplified(rings: Rings, tolerances: NDArray[np.float64]) -> Rings:
    """Return the rings with fewer points: each within its tolerance of the exact ring, and none crossing another.

    Args:
        rings: exact rings of a mask, or some of them.
        tolerances: (R,) pixels.
    """
    wanted = touching_corners(rings)
    squares = tolerances * tolerances
    needed = needed_squares(rings, squares, wanted)
    kept = needed > np.repeat(squares, np.diff(rings.starts))
    return with_points(rings, untangled(rings, kept, squares))


def with_points(rings: Rings, kept: NDArray[np.bool_]) -> Rings:
    """Return the rings with only the (N,) kept points."""
    before = np.concatenate([[0], np.cumsum(kept)])
    return Rings(rings.points[kept], before[rings.starts], rings.part)
