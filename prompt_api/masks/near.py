"""Finds what is near lines, by a grid of cells: pairs of lines, and points."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LEAST_SIDE = 8
"""Least side of a cell in pixels."""

_ROW = 1 << 20
"""More cells than a row can have."""


def pairs_nearby(start: Ints, stop: Ints, active: Bools) -> Iterator[tuple[Ints, Ints]]:
    """Yield pairs of different lines in parts: every two lines that share a point, of which one is active, are in one.

    A pair may come more than once, and others come too.

    Args:
        start, stop: (N, 2) the ends of the lines as (x, y), whole numbers.
        active: (N,).
    """
    cell, line = _cells(start, stop, _side(start, stop), 0)
    if not active.all():
        has_active = np.isin(cell, cell[active[line]])
        cell, line = cell[has_active], line[has_active]
    order = np.argsort(cell, kind="stable")
    cell, line = cell[order], line[order]
    first = np.arange(len(cell))
    for step in range(1, len(cell)):
        first = first[: np.searchsorted(first, len(cell) - step)]
        first = first[cell[first] == cell[first + step]]
        if not first.size:
            return
        one, other = line[first], line[first + step]
        different = one != other
        yield one[different], other[different]


def near_points(start: Ints, stop: Ints, points: Ints, reach: int) -> tuple[Ints, Ints]:
    """Return pairs of a line and a point: at least all whose distance is at most `reach`, each once.

    Args:
        start, stop: (N, 2) the ends of the lines as (x, y), whole numbers.
        points: (M, 2), whole numbers.
    """
    side = max(_side(start, stop), reach)
    cell, line = _cells(start, stop, side, reach)
    of_point = _named(points[:, 0] // side, points[:, 1] // side)
    order = np.argsort(of_point, kind="stable")
    first = np.searchsorted(of_point[order], cell, side="left")
    count = np.searchsorted(of_point[order], cell, side="right") - first
    lines = np.repeat(line, count)
    at = np.arange(len(lines)) + np.repeat(first - np.cumsum(count) + count, count)
    pairs = np.unique(lines * len(points) + order[at])
    return pairs // len(points), pairs % len(points)


def _side(start: Ints, stop: Ints) -> int:
    """Return a side of cells for which lines take few cells, and cells hold few lines: the mean length."""
    return max(LEAST_SIDE, int(np.abs(stop - start).max(axis=1).mean()))


def _cells(start: Ints, stop: Ints, side: int, margin: int) -> tuple[Ints, Ints]:
    """Return cells and lines: for each line, at least the cells within `margin` of it."""
    along = stop - start
    pieces = np.abs(along).max(axis=1) // side + 1
    line = np.repeat(np.arange(len(pieces)), pieces)
    number = np.arange(len(line)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    begin, end = (start[line] + along[line] * (number + step)[:, None] // pieces[line][:, None] for step in (0, 1))
    low = (np.minimum(begin, end) - margin) // side
    high = (np.maximum(begin, end) + 1 + margin) // side
    wide, tall = (high - low + 1).T
    count = wide * tall
    piece = np.repeat(np.arange(len(count)), count)
    place = np.arange(len(piece)) - np.repeat(np.cumsum(count) - count, count)
    across, down = np.divmod(place, tall[piece])
    return _named(low[piece, 0] + across, low[piece, 1] + down), line[piece]


def _named(column: Ints, row: Ints) -> Ints:
    return column * _ROW + row
