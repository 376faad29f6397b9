"""A mask as polygons along its pixels' edges: outer rings and their holes, without loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict  # pydantic accepts the one in typing only from Python 3.12 on

from prompt_api.masks.runs import ColumnRuns

Ints = NDArray[np.int64]
Ring = list[list[int]]


class Polygon(TypedDict):
    """One 4-connected part of a mask.

    Attributes:
        outer: [[x, y], …], clockwise on the screen.
        holes: rings of the same kind, anticlockwise.
    """

    outer: Ring
    holes: list[Ring]


def encode_polygons(runs: ColumnRuns) -> list[Polygon]:
    """Return the 4-connected parts of the mask, topmost first.

    Rings run along the edges between pixels, in the frame of prompts: pixel (x, y) is the square from (x, y) to
    (x + 1, y + 1), so all coordinates are whole numbers, from 0 to width or height. A ring lists only its corners,
    never the same point twice in a row. It is closed: the first point is not repeated at the end. A pixel belongs to
    the mask if and only if its centre lies inside an outer ring and outside that ring's holes. So filling the polygons
    gives the same mask, and the mask's area is that of the outer rings minus that of the holes. Pixels that touch only
    at a corner are not connected. Holes are 8-connected. A ring may touch itself or another ring at a corner.
    """
    if not runs.x.size:
        return []
    edges = _Edges(runs)
    rings, owner = _trace(edges.following())
    corners = edges.corners()[np.concatenate(rings)].reshape(-1, 2).tolist()
    polygons: list[Polygon] = []
    parts: list[Polygon] = []
    start = 0
    for ring in rings:
        points = corners[start : start + 2 * len(ring)]
        start += 2 * len(ring)
        topmost = ring[0]
        if edges.is_top[topmost]:
            part = Polygon(outer=points, holes=[])
            polygons.append(part)
        else:
            # The pixel above a hole's topmost edge belongs to the part around the hole, and so does the top of that
            # pixel's run. That top lies on a ring that starts higher, whose part is already known.
            part = parts[owner[edges.top_of_run_above[topmost]]]
            part["holes"].append(points)
        parts.append(part)
    return polygons


class _Edges:
    """The E horizontal edges of a mask's boundary, ordered by row.

    An edge at the tops of runs goes right, an edge at the bottoms of runs goes left.

    Attributes:
        left, right, y: (E,) the edge is the line from (left, y) to (right, y).
        is_top: (E,) whether the mask lies below the edge.
        top_of_run_above: (E,) for an edge at bottoms of runs, the edge at the top of its leftmost run.
    """

    def __init__(self, runs: ColumnRuns) -> None:
        height, width = runs.size
        count = len(runs.x)
        x = np.concatenate([runs.x, runs.x])
        line = np.concatenate([2 * runs.top + 1, 2 * runs.bottom])
        key = line * (width + 1) + x
        order = np.argsort(key)
        ordered = key[order]
        begins = np.diff(ordered, prepend=-2) != 1
        first = np.flatnonzero(begins)
        last = np.append(first[1:], len(order)) - 1
        edge = np.empty_like(order)
        edge[order] = np.cumsum(begins) - 1
        self._height = height
        self.left, self.right = x[order[first]], x[order[last]] + 1
        self.y, is_top = np.divmod(line[order[first]], 2)
        self.is_top = is_top == 1
        self.top_of_run_above = edge[order[first] % count]

    def corners(self) -> Ints:
        """Return where each edge starts and ends, as (x, y): (E, 2, 2)."""
        start = np.where(self.is_top, self.left, self.right)
        end = np.where(self.is_top, self.right, self.left)
        return np.stack([start, self.y, end, self.y], axis=1).reshape(-1, 2, 2)

    def following(self) -> list[int]:
        """Return, for each edge, the next edge of its ring.

        The ends of the edges that lie on one vertical line, from top to bottom, pair up into vertical edges. Where two
        pixels touch at a corner, two ends share a point: the end at a bottom comes first, so that it pairs with the
        pixel above.
        """
        count = len(self.y)
        x = np.concatenate([self.left, self.right])
        y = np.concatenate([self.y, self.y])
        top = np.concatenate([self.is_top, self.is_top])
        arrives = np.concatenate([~self.is_top, self.is_top])
        order = np.argsort((x * (self._height + 1) + y) * 2 + top)
        upper, lower = order[::2], order[1::2]
        down = arrives[upper]
        following = np.empty(count, dtype=np.int64)
        following[np.where(down, upper, lower) % count] = np.where(down, lower, upper) % count
        return following.tolist()


def _trace(following: list[int]) -> tuple[list[list[int]], list[int]]:
    """Return the cycles of a permutation, and for each member the number of its cycle.

    Each cycle starts with its least member, and the cycles are ordered by that member.
    """
    owner = [-1] * len(following)
    cycles: list[list[int]] = []
    for start, known in enumerate(owner):
        if known >= 0:
            continue
        cycle = []
        at = start
        while owner[at] < 0:
            owner[at] = len(cycles)
            cycle.append(at)
            at = following[at]
        cycles.append(cycle)
    return cycles, owner
