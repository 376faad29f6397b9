"""The border of a mask as rings along its pixels' edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Rings:
    """Closed rings, one after the other. The first point of a ring is not repeated at its end.

    Attributes:
        points: (N, 2) as (x, y), the corners of all rings. A ring begins with its topmost edge; of several, the
            leftmost.
        starts: (R + 1,) where each ring begins in `points`; at last, N.
        part: (R,) the number of the outer ring around the part that the ring belongs to. For an outer ring it is its
            own number, and for a hole a smaller one than its own.
    """

    points: Ints
    starts: Ints
    part: Ints

    @property
    def outer(self) -> Ints:
        """The numbers of the outer rings, in ascending order."""
        return np.flatnonzero(self.part == np.arange(len(self.part)))

    @property
    def areas(self) -> Ints:
        """(R,) the pixels that each ring encloses."""
        return np.abs(signed_doubled_areas(self)) // 2

    def chosen(self, outer: Ints) -> Rings:
        """Return these rings, in this order, each as a part of its own. They must be outer rings."""
        size = np.diff(self.starts)[outer]
        starts = np.concatenate([[0], np.cumsum(size)])
        at = np.arange(starts[-1]) + np.repeat(self.starts[outer] - starts[:-1], size)
        return Rings(self.points[at], starts, np.arange(len(outer)))

    def each(self) -> list[Ints]:
        """Return the points of each ring, (N, 2)."""
        return np.split(self.points, self.starts[1:-1])


def following_point(rings: Rings) -> Ints:
    """Return the index of the point that follows each point in its ring: (N,)."""
    following = np.arange(len(rings.points)) + 1
    following[rings.starts[1:] - 1] = rings.starts[:-1]
    return following


def signed_doubled_areas(rings: Rings) -> Ints:
    """Return (R,) twice the area of each ring; it is negative for a ring that runs anticlockwise on the screen."""
    x, y = rings.points.T
    following = following_point(rings)
    return np.asarray(np.add.reduceat(x * y[following] - y * x[following], rings.starts[:-1]))


def rings_of(runs: ColumnRuns) -> Rings:
    """Return the outer rings of the mask's 4-connected parts and their holes, ordered by first edge, by y, then x.

    Outer rings run clockwise on the screen, holes the other way. No ring touches itself; two rings may touch at
    corners. Where a part touches itself at a corner, its ring would do so too: it is cut there into several rings. A
    hole that is connected only by a corner becomes two.
    """
    edges = _Edges(runs)
    pairs = edges.pairs()
    cycles, owner = _trace(edges.following(pairs))
    touching = edges.touches(pairs, np.array(owner, dtype=np.int64))
    if touching.size:
        pairs[touching], pairs[touching + 1] = pairs[touching + 1], pairs[touching]
        cycles, owner = _trace(edges.following(pairs))
    part: list[int] = []
    for number, cycle in enumerate(cycles):
        if edges.is_top[cycle[0]]:
            part.append(number)
        else:
            # The pixel above a hole's topmost edge belongs to the part around the hole, and so does the top of that
            # pixel's run. That top lies on a ring that starts higher, whose part is already known.
            part.append(part[owner[edges.top_of_run_above[cycle[0]]]])
    ordered = np.array([edge for cycle in cycles for edge in cycle], dtype=np.int64)
    starts = np.cumsum([0, *(2 * len(cycle) for cycle in cycles)])
    points = edges.corners()[ordered].reshape(-1, 2)
    return Rings(points, starts, np.array(part, dtype=np.int64))


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

    def pairs(self) -> Ints:
        """Return the ends of edges, (2 E,), so that each two in a row are joined by a vertical edge.

        End e is the left end of edge e, end E + e its right end. The ends that lie on one vertical line pair up from
        top to bottom. Where two pixels touch at a corner, two ends share a point: the end at a bottom comes first, so
        that it pairs with the pixel above.
        """
        x = np.concatenate([self.left, self.right])
        y = np.concatenate([self.y, self.y])
        top = np.concatenate([self.is_top, self.is_top])
        return np.argsort((x * (self._height + 1) + y) * 2 + top)

    def following(self, pairs: Ints) -> list[int]:
        """Return, for each edge, the next edge of its ring."""
        count = len(self.y)
        arrives = np.concatenate([~self.is_top, self.is_top])
        upper, lower = pairs[::2], pairs[1::2]
        down = arrives[upper]
        following = np.empty(count, dtype=np.int64)
        following[np.where(down, upper, lower) % count] = np.where(down, lower, upper) % count
        return following.tolist()

    def touches(self, pairs: Ints, owner: Ints) -> Ints:
        """Return where in `pairs` two ends of one ring in a row share a point: the places of the first.

        To swap the two cuts the ring there.

        Args:
            owner: (E,) the ring of each edge.
        """
        count = len(self.y)
        upper, lower = pairs[1:-1:2], pairs[2::2]
        x = np.concatenate([self.left, self.right])
        edge, other = upper % count, lower % count
        same = (x[upper] == x[lower]) & (self.y[edge] == self.y[other]) & (owner[edge] == owner[other])
        return 2 * np.flatnonzero(same) + 1


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
