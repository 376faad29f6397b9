"""From low-res logits to the mask at full size, by looking only where the mask can change.

`SamPredictor.predict` resizes the logits twice (256 → 1024, crop the padding, → original size) and thresholds at 0.
Both resizes are bilinear. The first is computed only in windows whose logits have both signs; its samples there are the
grid of `prompt_api.masks.crossings`, which does the second.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.axis import Axis, resize_axis
from prompt_api.masks.crossings import TINIEST, Cells, area_in_cells, mix, mixed, resized_row, runs_of_cells
from prompt_api.masks.runs import ColumnRuns
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

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


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
    top, bottom = (_profile(padded, row, columns) for row in (0, frame[0] - 1))
    return runs_of_cells(rows, columns, top, bottom, _mixed_cells(padded, frame, columns))


def areas_above(logits: Floats, thresholds: Floats, original: Size) -> Ints:
    """Return the pixels (K, M) of each mask's resized logits that are above each threshold.

    For the threshold 0, this is the area of `mask_runs`. It costs less, because no runs are made.

    Args:
        logits: (K, 256, 256) float32, finite, over the zero-padded 1024 frame. Not changed.
        thresholds: (M,) float32.
        original: (height, width) of the original image.
    """
    height, width = original
    frame = SAM1.frame.inside(original)
    rows, columns = resize_axis(frame[0], height), resize_axis(frame[1], width)
    padded = _padded(logits, frame)
    bottom = _profile(padded, frame[0] - 1, columns)
    areas: Ints = height * np.count_nonzero(bottom[:, None] > thresholds[:, None], axis=-1)

    positive = padded[:, None] > thresholds[:, None, None]
    seen = mixed(positive.reshape(-1, *padded.shape[1:]).transpose(1, 2, 0), 3).transpose(2, 0, 1)
    windows: Ints = np.flatnonzero(seen)
    step = _windows_at_once(columns)
    for start in range(0, len(windows), step):
        chosen = windows[start : start + step]
        row = chosen // seen.shape[2]  # of all planes, one below the other
        plane, j = row // seen.shape[1], chosen - row * seen.shape[2]
        i, mask = row - plane * seen.shape[1], plane // len(thresholds)
        samples = _window_samples(padded.reshape(-1, padded.shape[2]), i + mask * padded.shape[1], j)
        samples -= thresholds.take(plane - mask * len(thresholds))
        cells, window = _cells_in(samples, i, j, frame)
        cell, part = area_in_cells(rows, columns, cells)
        # Sums of floats are exact up to 2**53.
        sums = np.bincount(plane.take(window.take(cell)), weights=part, minlength=areas.size)
        areas += sums.astype(np.int64).reshape(areas.shape)
    return areas


def _padded(logits: Floats, frame: Size) -> Floats:
    """Return the logits (…, 256, 256) that the crop can read, with edges repeated so that every window is complete.

    Entry (i, j) is low-res sample (i - 1, j - 1), and window (i, j) starts there.
    """
    rows, columns = (np.arange(-1, (side + 1) // STEP + 2).clip(0, LOW_RES_SIDE - 1) for side in frame)
    padded = logits.take(rows, axis=-2).take(columns, axis=-1)
    padded[np.abs(padded) < TINIEST] = 0
    return padded


def _profile(padded: Floats, row: int, columns: Axis) -> Floats:
    """Return the values at row `row` of the 1024 frame, resized along x to the original's columns: (…, width)."""
    window, place = divmod(row + _SHIFT, STEP)
    across, places = np.divmod(np.arange(len(columns.first)) + _SHIFT, STEP)
    weight = _WEIGHT[places]
    lines = padded[..., window, :], padded[..., window + 1, :]
    upper, lower = (mix(line[..., across], line[..., across + 1], weight) for line in lines)
    return resized_row(mix(upper, lower, _WEIGHT[place]), columns)


def _mixed_cells(padded: Floats, frame: Size, columns: Axis) -> Iterator[Cells]:
    """Yield the cells of the 1024 frame that have corners of both signs."""
    across = padded.shape[1] - 2
    windows: Ints = np.flatnonzero(mixed(padded > 0, 3))
    step = _windows_at_once(columns)
    for start in range(0, len(windows), step):
        i, j = np.divmod(windows[start : start + step], across)
        cells, _ = _cells_in(_window_samples(padded, i, j), i, j, frame)
        yield cells


def _windows_at_once(columns: Axis) -> int:
    per_window = STEP * STEP * int(np.diff(columns.first).max())
    return max(1, _CHUNK // per_window)


def _cells_in(samples: Floats, i: Ints, j: Ints, frame: Size) -> tuple[Cells, Ints]:
    """Return the cells of the 1024 frame that have corners of both signs, and the number of the window of each.

    Args:
        samples: (5, 5, N), those of windows that start at (i, j).
    """
    cells = np.flatnonzero(mixed(samples > 0, 2))
    place, k = np.divmod(cells, len(i))
    p = place // STEP
    row, column = STEP * i[k] + p - _SHIFT, STEP * j[k] + place % STEP - _SHIFT
    seen = (row >= 0) & (row < frame[0] - 1) & (column >= 0) & (column < frame[1])
    corner = (cells + p * len(i))[seen]  # each row of a window has one more sample than cells
    lower = corner + _SAMPLES * len(i)
    flat = samples.reshape(-1)
    corners = (flat[corner], flat[corner + len(i)], flat[lower], flat[lower + len(i)])
    return Cells(row[seen], column[seen], corners), k[seen]


def _window_samples(padded: Floats, i: Ints, j: Ints) -> Floats:
    """Return the samples of the 1024 frame in the windows that start at padded[i, j], (5, 5, N).

    The x axis is resized first, as in torch.
    """
    offsets = np.arange(3)[:, None] * padded.shape[1] + np.arange(3)
    window = padded.reshape(-1)[offsets[:, :, None] + (i * padded.shape[1] + j)]
    weight = _WEIGHT[:, None]
    across = mix(window[:, _LOWER], window[:, _LOWER + 1], weight)
    return mix(across[_LOWER], across[_LOWER + 1], weight[:, None])
