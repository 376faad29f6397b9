"""From a grid of samples to the mask that its bilinear resize gives, by looking only where the mask can change.

Each output value is a convex combination of its four samples: where all samples have one sign, the output has that
sign too. So only cells between samples of both signs must be computed. In such a cell, down one column of the output,
the value is monotone and crosses 0 at most once. Torch's float32 operations, in torch's order, decide where. No array
of the output's size is ever made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.axis import Axis
from prompt_api.masks.runs import ColumnRuns, runs_between

TINIEST = np.float32(1e-20)
"""Values nearer to 0 count as 0, so that no product underflows and no value contradicts the sign of its inputs."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells of the grid, each between a sample and the next ones to the right and below.

    Attributes:
        row, column: (N,) the upper left sample.
        corners: (N,) each, the samples: upper left, upper right, lower left, lower right.
    """

    row: Ints
    column: Ints
    corners: tuple[Floats, Floats, Floats, Floats]


def runs_of_cells(rows: Axis, columns: Axis, top: Floats, bottom: Floats, cells: Iterable[Cells]) -> ColumnRuns:
    """Return the mask of the positive values of the resized grid.

    Args:
        rows, columns: the resize of each axis of the grid.
        top, bottom: (width,) the first and the last row of the grid, resized along x, see `resized_row`.
        cells: at least all cells with corners of both signs, each once, in any order.
    """
    height, width = len(rows.lower), len(columns.lower)
    # A change at (x, y), 0 <= y <= height, is one number, which sorts by column, then by row.
    places = height + 1
    found = (_crossings(some, rows, columns) for some in cells)
    changes = [one.x * places + one.y for one in found]
    changes.append(np.flatnonzero(top > 0) * places)
    changes.append(np.flatnonzero(bottom > 0) * places + height)

    ordered = np.concatenate(changes)
    del changes  # a mask that changes everywhere has a million of them
    ordered.sort()
    return runs_between(ordered, (height, width))


def area_in_cells(rows: Axis, columns: Axis, cells: Cells) -> tuple[Ints, Ints]:
    """Return cells and rows (N,) each: the parts of a mask's area, added up over all cells with corners of both signs.

    Each part is a row y, or -y, and belongs to the cell of that number. The area of the mask is the sum of the parts of
    its cells, and the height times the number of columns that end positive.
    """
    found = _crossings(cells, rows, columns)
    cell = np.repeat(np.arange(len(found.count)), found.count).take(found.place)
    return cell, np.where(found.above > 0, found.y, -found.y)


def resized_row(samples: Floats, columns: Axis) -> Floats:
    """Return one row of samples (…, S), resized along x: (…, width).

    It reads one sample beyond the last that has weight.
    """
    return mix(samples[..., columns.lower], samples[..., columns.lower + 1], columns.weight)


def mixed(positive: Bools, side: int) -> Bools:
    """Return which windows of `side` x `side` over the first two axes hold both signs."""
    return _over(np.logical_or, positive, side) & ~_over(np.logical_and, positive, side)


def mix(lower: Floats, upper: Floats, weight: Floats | np.float32) -> Floats:
    """Return the weighted mean, as torch rounds it."""
    mean: Floats = lower * (np.float32(1) - weight) + upper * weight
    return mean


def _over(combine: Callable[[Bools, Bools], Bools], values: Bools, side: int) -> Bools:
    high, wide = values.shape[0] - side + 1, values.shape[1] - side + 1
    down = values[:high]
    for shift in range(1, side):
        down = combine(down, values[shift : shift + high])
    across = down[:, :wide]
    for shift in range(1, side):
        across = combine(across, down[:, shift : shift + wide])
    return across


@dataclass(frozen=True, slots=True, eq=False)
class _Crossings:
    """Sign changes: down column `x` of the output, the sign changes between rows `y - 1` and `y`.

    If it changes twice between two rows, (x, y) comes twice.

    Attributes:
        x, y: (N,).
        above: (N,) the value at the cell's upper edge.
        place: (N,) where each is among the columns of all cells, one after the other.
        count: (cells,) the columns of each cell.
    """

    x: Ints
    y: Ints
    above: Floats
    place: Ints
    count: Ints


def _crossings(cells: Cells, rows: Axis, columns: Axis) -> _Crossings:
    row, column, corners = cells.row, cells.column, cells.corners
    first = columns.first[column]
    count = columns.first[column + 1] - first
    # `take` costs less than an index, and `repeat` less than `take`.
    x = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
    weight = columns.weight.take(x)
    upper_left, upper_right, lower_left, lower_right = (np.repeat(corner, count) for corner in corners)
    above, below = mix(upper_left, upper_right, weight), mix(lower_left, lower_right, weight)
    crossing = np.flatnonzero((above > 0) != (below > 0))
    x, above, below = x.take(crossing), above.take(crossing), below.take(crossing)
    row = np.repeat(row, count).take(crossing)
    y = _first_like_below(above, below, rows.first[row], rows.first[row + 1], rows)
    return _Crossings(x, y, above, crossing, count)


def _first_like_below(above: Floats, below: Floats, low: Ints, high: Ints, rows: Axis) -> Ints:
    """Return the first output row in [low, high) with the sign of `below`, or `high`.

    The value is monotone, so it is found by bisection.
    """
    positive = below > 0
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + high) >> 1
        reached = ((mix(above, below, rows.weight.take(middle, mode="clip")) > 0) == positive) | (low >= high)
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle + 1)
    return high
