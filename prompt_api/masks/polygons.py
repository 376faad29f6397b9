"""A mask as polygons along its pixels' edges: outer rings and their holes, nothing lost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypedDict  # pydantic reads typing's own only from Python 3.12 on

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
    """The 4-connected parts of the mask, topmost first.

    Rings run along the edges between pixels, in the frame of prompts: pixel (x, y) is the square from (x, y) to
    (x + 1, y + 1), so all coordinates are whole numbers, from 0 to width or height. A ring has only corners, no point
    twice in a row, and is closed without repeating its first point. A pixel belongs to the mask if and only if its
    centre lies inside an outer ring and in none of that ring's holes: filling gives back the same mask, and the rings'
    areas add up to its area. Pixels that touch only by a corner are not connected; holes are 8-connected, and a
    ring may touch itself or another at a corner.
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
            # The pixel above a hole's topmost edge belongs to the part around it, and so does the top of that pixel's
            # run, which lies on a ring that starts higher and is known already.
            part = parts[owner[edges.top_of_run_above[topmost]]]
            part["holes"].append(points)
        parts.append(part)
    return polygons


class _Edges:
    """The E horizontal edges of a mask's boundary, ordered by row: at tops of runs going right, at bottoms going left.

    Attributes:
        left, right, y: (E,) the edge is the line from (left, y) to (right, y).
        is_top: (E,) whether the mask lies below it.
        top_of_run_above: (E,) for an edge at bottoms, the edge at the top of its leftmost run.
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
        """(E, 2, 2): where each edge starts and ends, as (x, y)."""
        start = np.where(self.is_top, self.left, self.right)
        end = np.where(self.is_top, self.right, self.left)
        return np.stack([start, self.y, end, self.y], axis=1).reshape(-1, 2, 2)

    def following(self) -> list[int]:
        """For each edge the next one of its ring.

        On a vertical line the edges' ends, from top to bottom, pair up into vertical edges. Where two pixels touch by a
        corner two ends share a point: the one at a bottom comes first and so belongs to the pixel above.
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
    """The cycles of a permutation, each from its least member, in their order; for each member its cycle's number."""
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
