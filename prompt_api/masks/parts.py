"""The connected parts of a mask, found from its runs: no array of single pixels is made."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns

Ints = NDArray[np.int64]


def part_of_each_run(runs: ColumnRuns, *, by_corners: bool) -> Ints:
    """Return the number of the part that each run belongs to, (N,), from 0.

    Parts are numbered in the order of their first runs.

    Args:
        by_corners: whether pixels that touch only at a corner are connected (8-connected parts, otherwise 4-connected).

    Source: the union of runs is Shiloach and Vishkin's (1982) way of finding connected components: all edges at once
    hang the larger root below the smaller one, then all paths are shortened.
    """
    one, other = _neighbours(runs, by_corners=by_corners)
    root = np.arange(len(runs.x))
    while one.size:
        high, low = np.maximum(root[one], root[other]), np.minimum(root[one], root[other])
        apart = high != low
        one, other = one[apart], other[apart]
        np.minimum.at(root, high[apart], low[apart])
        while not np.array_equal(root, above := root[root]):
            root = above
    is_first = root == np.arange(len(root))
    return np.asarray((np.cumsum(is_first) - 1)[root])


def areas_of_parts(runs: ColumnRuns, parts: Ints) -> Ints:
    """Return the pixels of each part, by its number."""
    # Sums of floats are exact up to 2**53, and no mask has so many pixels.
    return np.bincount(parts, weights=runs.bottom - runs.top).astype(np.int64)


def _neighbours(runs: ColumnRuns, *, by_corners: bool) -> tuple[Ints, Ints]:
    """Return two arrays of the numbers of runs: all pairs of runs in neighbouring columns that touch."""
    places = runs.size[0] + 1
    top, bottom = runs.x * places + runs.top, runs.x * places + runs.bottom
    # For each run: the runs of the next column from the first that does not end above it to the last that does not
    # begin below it.
    first = np.searchsorted(bottom, top + places, side="left" if by_corners else "right")
    count = np.searchsorted(top, bottom + places, side="right" if by_corners else "left") - first
    one = np.repeat(np.arange(len(count)), count)
    other = np.arange(len(one)) + np.repeat(first - np.cumsum(count) + count, count)
    return one, other
