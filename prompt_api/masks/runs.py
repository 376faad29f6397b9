"""A mask as its vertical runs. All other forms are made from these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shared.contract.geometry import Size
from shared.contract.region import Region


@dataclass(frozen=True, slots=True, eq=False)
class ColumnRuns:
    """The maximal vertical runs of a mask, ordered by column, then from top to bottom.

    Run k covers the pixels (y, x[k]) with top[k] <= y < bottom[k]. Runs of one column never touch.

    Attributes:
        size: (height, width) of the mask.
        x: (N,) int64, column.
        top: (N,) int64, first row.
        bottom: (N,) int64, the row after the last.
    """

    size: Size
    x: NDArray[np.int64]
    top: NDArray[np.int64]
    bottom: NDArray[np.int64]

    @property
    def area(self) -> int:
        """Pixels covered."""
        return int((self.bottom - self.top).sum())

    @property
    def bbox(self) -> tuple[int, int, int, int]:
        """(x, y, width, height) of the pixels covered; all 0 for an empty mask."""
        if not self.x.size:
            return 0, 0, 0, 0
        x, y = int(self.x[0]), int(self.top.min())
        return x, y, int(self.x[-1]) + 1 - x, int(self.bottom.max()) - y

    def chosen(self, which: NDArray[np.bool_]) -> ColumnRuns:
        """Return a mask of only these runs, (N,)."""
        return ColumnRuns(self.size, self.x[which], self.top[which], self.bottom[which])

    def background(self, columns: range) -> ColumnRuns:
        """Return what these columns have and the mask has not. `columns` holds all columns that the mask reaches."""
        places = self.size[0] + 1
        edges = np.arange(columns.start, columns.stop) * places
        ends = self.x * places
        changes = np.concatenate([edges, edges + self.size[0], ends + self.top, ends + self.bottom])
        changes.sort()
        return runs_between(changes, self.size)


def runs_between(changes: NDArray[np.int64], size: Size) -> ColumnRuns:
    """Return the mask that begins or ends at each change, from the top of its column to the bottom.

    Args:
        changes: sorted numbers x * (height + 1) + y, with 0 <= y <= height: the pixels (y - 1, x) and (y, x) differ.
            Two changes in one place cancel. Each column has an even number of changes.
        size: (height, width) of the mask.
    """
    places = size[0] + 1
    changed = odd_ones(changes)
    x = changed // places  # numpy's divmod takes three times as long
    y = changed - x * places
    return ColumnRuns(size, x[::2], y[::2], y[1::2])


def placed(runs: ColumnRuns, region: Region, original: Size) -> ColumnRuns:
    """Return the mask over the whole image that has `runs` in the region and nothing around it.

    Args:
        runs: a mask of the region's size.
        original: (height, width) of the image.
    """
    return ColumnRuns(original, runs.x + region.x0, runs.top + region.y0, runs.bottom + region.y0)


def odd_ones(ordered: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the values that occur an odd number of times in the sorted (N,) `ordered`, each once.

    If `ordered` holds the places where a mask changes, two changes in one place cancel.
    """
    same = ordered[1:] == ordered[:-1]
    if not same.any():
        return ordered
    starts = np.concatenate([[0], np.flatnonzero(~same) + 1])
    times = np.diff(starts, append=ordered.size)
    return np.asarray(ordered.take(starts[times % 2 == 1]))
