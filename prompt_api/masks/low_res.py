"""A mask of an image as low-res logits, which a decoder takes as a prompt."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns
from shared.contract.frames import Frame
from shared.contract.geometry import Size

INSIDE = 6.9
"""The logit of a cell of which at least half is inside; outside it is the negative. It stands for a probability of
0.999, as micro-sam's `_compute_logits_from_mask` takes it."""

_COLUMNS = 4096
"""Columns of the mask that are summed at once. This limits the memory."""

Floats = NDArray[np.float64]


def low_res_logits(
    runs: ColumnRuns, frame: Frame, side: int, size: Size, corner: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the logits of a mask over the model's frame, (side, side): 0 in the padding, elsewhere +-`INSIDE`.

    Args:
        runs: a mask over the whole image.
        side: that of the model's low-res logits.
        size: (height, width) of what was encoded: the image, or a region of it.
        corner: (x, y) of its upper left corner in the image.
    """
    height, width = size
    inside = frame.inside(size)
    rows, columns = (_edges(length, in_frame, frame.side, side) for length, in_frame in zip(size, inside, strict=True))
    left = runs.x - corner[0]
    top = (runs.top - corner[1]).clip(0, height)
    bottom = (runs.bottom - corner[1]).clip(0, height)
    # How much is covered left of each edge between columns of cells, within each row of cells.
    before = np.zeros((len(columns), len(rows) - 1))
    for start in range(0, width, _COLUMNS):
        stop = min(start + _COLUMNS, width)
        here = (left >= start) & (left < stop) & (top < bottom)
        lengths = _covered_lengths(left[here] - start, top[here], bottom[here], stop - start, rows)
        within = (columns > start) & (columns < stop)
        whole = columns[within].astype(np.int64)
        sums = np.concatenate([np.zeros((1, len(rows) - 1)), np.cumsum(lengths, axis=0)])
        share = (columns[within] - whole)[:, None] * lengths[whole - start]
        before[within] += sums[whole - start] + share
        before[columns >= stop] += sums[-1]
    covered = np.diff(before, axis=0).T
    area = np.diff(rows)[:, None] * np.diff(columns)[None, :]
    logits = np.zeros((side, side), dtype=np.float32)
    # Sums of fractions may be off by a little.
    is_inside = covered >= area * (0.5 - 1e-9)
    logits[: len(rows) - 1, : len(columns) - 1] = np.where(is_inside, INSIDE, -INSIDE)
    return logits


def _edges(length: int, in_frame: int, frame_side: int, side: int) -> Floats:
    """Return where the cells of the low-res grid begin along one axis, and where the last ends, in pixels of the image.

    The image takes `in_frame` of the frame's pixels. The last cell ends with the image, even if it reaches into the
    padding.
    """
    cell = frame_side / side
    edges = np.arange(np.ceil(in_frame / cell) + 1) * cell
    edges[-1] = in_frame
    return np.asarray(edges * (length / in_frame))


def _covered_lengths(
    x: NDArray[np.int64], top: NDArray[np.int64], bottom: NDArray[np.int64], width: int, rows: Floats
) -> Floats:
    """Return how much of each column is covered within each row of cells: (width, R), in pixels."""
    count = len(rows) - 1
    heights = np.diff(rows)
    first = np.searchsorted(rows, top, side="right") - 1
    last = np.searchsorted(rows, bottom, side="left") - 1
    # A run covers its first cell from its top on, its last cell up to its bottom, and the cells between wholly.
    places = width * (count + 1)
    at = x * (count + 1)
    partial = np.bincount(at + first, weights=rows[first + 1] - top, minlength=places)
    partial += np.bincount(at + last, weights=bottom - rows[last], minlength=places)
    whole = np.bincount(at + first + 1, minlength=places) - np.bincount(at + last, minlength=places)
    lengths = partial.reshape(width, -1) + np.cumsum(whole.reshape(width, -1), axis=1) * np.append(heights, 0)
    return np.asarray(lengths[:, :count])
