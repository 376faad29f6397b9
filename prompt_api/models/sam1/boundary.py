"""From low-res logits to the mask at full size, by looking only where the mask can change.

`SamPredictor.predict` resizes the logits twice (256 → 1024, crop the padding, → original size) and thresholds at 0.
Both resizes are bilinear: each value is a convex combination of its four inputs, so where all inputs have one sign, the
output has that sign too. Only a band along the sign changes must be computed. In that band, down one column of the
output between two rows of the 1024 frame, the value is monotone and crosses 0 at most once. Torch's float32 operations,
in torch's order, decide where. No array of the original's size is ever made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.axis import Axis, resize_axis
from prompt_api.masks.runs import ColumnRuns, odd_ones
from shared.contract.geometry import Size
from shared.contract.models import SAM1

LOW_RES_SIDE = SAM1.low_res_side
STEP = SAM1.frame.side // LOW_RES_SIDE
assert STEP == 4, "the weights below are those of a resize by four"

# Sample m of the 1024 frame lies an odd number of eighths past low-res sample (m - 2) // 4. A window starts at low-res
# sample i. It reads three low-res samples and makes five samples of the frame, 4i + 2 … 4i + 6: those of one step and
# the first of the next. So each cell between four samples of the frame lies in one window.
_LOWER = np.array([0, 0, 0, 0, 1])
_WEIGHT = np.array([1, 3, 5, 7, 1], dtype=np.float32) / np.float32(8)
_SHIFT = 2
_SAMPLES = len(_LOWER)

_CHUNK = 1 << 18
"""Columns of window cells computed at once. This limits the memory for masks that change everywhere."""

_TINIEST = np.float32(1e-20)
"""Logits nearer to 0 count as 0, so that no product underflows and no value contradicts the sign of its inputs."""

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def mask_runs(logits: Floats, original: Size) -> ColumnRuns:
    """Return the mask of `logits` over the original image, as `SamPredictor.predict` thresholds it.

    Args:
        logits: (256, 256) float32, finite, over the zero-padded 1024 frame. Not changed.
        original: (height, width) of the original image.

    Source: segment_anything.modeling.Sam.postprocess_masks.
    """
    height, width = original
    frame = SAM1.frame.inside(original)
    rows, columns = resize_axis(frame[0], height), resize_axis(frame[1], width)
    padded = _padded(logits, frame)

    # A change at (x, y), 0 <= y <= height, is one number, which sorts by column, then by row.
    places = height + 1
    changes = [x * places + y for x, y in _crossings(padded, frame, rows, columns)]
    changes.append(np.flatnonzero(_profile(padded, 0, columns) > 0) * places)
    changes.append(np.flatnonzero(_profile(padded, frame[0] - 1, columns) > 0) * places + height)

    x, y = np.divmod(odd_ones(np.sort(np.concatenate(changes))), places)
    return ColumnRuns(original, x[::2], y[::2], y[1::2])


def _padded(logits: Floats, frame: Size) -> Floats:
    """Return the logits that the crop can read, with edges repeated so that every window is complete.

    Entry (i, j) is low-res sample (i - 1, j - 1), and window (i, j) starts there.
    """
    rows, columns = (np.arange(-1, (side + 1) // STEP + 2).clip(0, LOW_RES_SIDE - 1) for side in frame)
    padded = logits.take(rows, axis=0).take(columns, axis=1)
    padded[np.abs(padded) < _TINIEST] = 0
    return padded


def _profile(padded: Floats, row: int, columns: Axis) -> Floats:
    """Return the values at row `row` of the 1024 frame, resized along x to the original's columns: (width,)."""
    window, place = divmod(row + _SHIFT, STEP)
    across, places = np.divmod(np.arange(len(columns.first)) + _SHIFT, STEP)
    weight = _WEIGHT[places]
    upper, lower = (_mix(line[across], line[across + 1], weight) for line in padded[window : window + 2])
    samples = _mix(upper, lower, _WEIGHT[place])
    return _mix(samples[columns.lower], samples[columns.lower + 1], columns.weight)


def _crossings(padded: Floats, frame: Size, rows: Axis, columns: Axis) -> Iterator[tuple[Ints, Ints]]:
    """Yield pairs of arrays (x, y): down column x of the original, the sign changes between rows y - 1 and y.

    If it changes twice between two rows, (x, y) comes twice.
    """
    across = padded.shape[1] - 2
    windows: Ints = np.flatnonzero(_mixed(padded > 0, 3))
    per_window = STEP * STEP * int(np.diff(columns.first).max())
    step = max(1, _CHUNK // per_window)
    for start in range(0, len(windows), step):
        i, j = np.divmod(windows[start : start + step], across)
        samples = _window_samples(padded, i, j)
        cells = np.flatnonzero(_mixed(samples > 0, 2))
        place, k = np.divmod(cells, len(i))
        p = place // STEP
        row, column = STEP * i[k] + p - _SHIFT, STEP * j[k] + place % STEP - _SHIFT
        seen = (row >= 0) & (row < frame[0] - 1) & (column >= 0) & (column < frame[1])
        corner = (cells + p * len(i))[seen]  # each row of a window has one more sample than cells
        lower = corner + _SAMPLES * len(i)
        corners = [samples.reshape(-1)[at] for at in (corner, corner + len(i), lower, lower + len(i))]
        yield _cell_crossings(row[seen], column[seen], rows, columns, corners)


def _mixed(positive: Bools, side: int) -> Bools:
    """Return which windows of `side` x `side` over the first two axes hold both signs."""
    return _over(np.logical_or, positive, side) & ~_over(np.logical_and, positive, side)


def _over(combine: Callable[[Bools, Bools], Bools], values: Bools, side: int) -> Bools:
    high, wide = values.shape[0] - side + 1, values.shape[1] - side + 1
    down = values[:high]
    for shift in range(1, side):
        down = combine(down, values[shift : shift + high])
    across = down[:, :wide]
    for shift in range(1, side):
        across = combine(across, down[:, shift : shift + wide])
    return across


def _window_samples(padded: Floats, i: Ints, j: Ints) -> Floats:
    """Return the samples of the 1024 frame in the windows that start at padded[i, j], (5, 5, N).

    The x axis is resized first, as in torch.
    """
    offsets = np.arange(3)[:, None] * padded.shape[1] + np.arange(3)
    window = padded.reshape(-1)[offsets[:, :, None] + (i * padded.shape[1] + j)]
    weight = _WEIGHT[:, None]
    across = _mix(window[:, _LOWER], window[:, _LOWER + 1], weight)
    return _mix(across[_LOWER], across[_LOWER + 1], weight[:, None])


def _cell_crossings(row: Ints, column: Ints, rows: Axis, columns: Axis, corners: list[Floats]) -> tuple[Ints, Ints]:
    """Return the crossings (x, y) inside cells of the 1024 frame.

    Args:
        row, column: (N,) the cell's upper left sample; the cell reaches to the next row and column.
        corners: four (N,) values: upper left, upper right, lower left, lower right.
    """
    first = columns.first[column]
    count = columns.first[column + 1] - first
    cell = np.repeat(np.arange(len(row)), count)
    x = np.arange(len(cell)) + (first - np.cumsum(count) + count)[cell]
    weight = columns.weight[x]
    above = _mix(corners[0][cell], corners[1][cell], weight)
    below = _mix(corners[2][cell], corners[3][cell], weight)
    crossing = np.flatnonzero((above > 0) != (below > 0))
    x, row, above, below = x[crossing], row[cell[crossing]], above[crossing], below[crossing]
    return x, _first_like_below(above, below, rows.first[row], rows.first[row + 1], rows)


def _first_like_below(above: Floats, below: Floats, low: Ints, high: Ints, rows: Axis) -> Ints:
    """Return the first output row in [low, high) with the sign of `below`, or `high`.

    The value is monotone, so it is found by bisection.
    """
    positive = below > 0
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + high) >> 1
        reached = ((_mix(above, below, rows.weight.take(middle, mode="clip")) > 0) == positive) | (low >= high)
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle + 1)
    return high


def _mix(lower: Floats, upper: Floats, weight: Floats | np.float32) -> Floats:
    mixed: Floats = lower * (np.float32(1) - weight) + upper * weight
    return mixed
