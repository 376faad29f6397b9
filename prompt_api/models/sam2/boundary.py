"""From low-res logits to the mask at full size, by looking only where the mask can change.

`SAM2ImagePredictor.predict` resizes the logits once, from 256 to the original size, and thresholds at 0. So the logits
themselves are the grid of `prompt_api.masks.crossings`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.axis import Axis, resize_axis
from prompt_api.masks.crossings import TINIEST, Cells, area_in_cells, mixed, resized_row, runs_of_cells
from prompt_api.masks.runs import ColumnRuns
from shared.contract.geometry import Size
from shared.contract.models import SAM2

SIDE = SAM2.low_res_side

_CHUNK = 1 << 17
"""Columns of cells computed at once. This limits the memory for masks that change everywhere."""

Floats = NDArray[np.float32]


def mask_runs(logits: Floats, original: Size) -> ColumnRuns:
    """Return the mask of `logits` over the original image, as `SAM2ImagePredictor.predict` thresholds it.

    Args:
        logits: (256, 256) float32, finite, over the whole image, without the limit of +-32. Not changed.
        original: (height, width) of the original image.

    Source: sam2.utils.transforms.SAM2Transforms.postprocess_masks.
    """
    rows, columns = (resize_axis(SIDE, side) for side in original)
    # One more column repeats the last, for the outputs beyond the last sample.
    samples = np.concatenate([logits, logits[:, -1:]], axis=1)
    samples[np.abs(samples) < TINIEST] = 0
    top, bottom = (resized_row(samples[row], columns) for row in (0, -1))
    return runs_of_cells(rows, columns, top, bottom, _mixed_cells(samples, columns))


def areas_above(logits: Floats, thresholds: Floats, original: Size) -> NDArray[np.int64]:
    """Return the pixels (K, M) of each mask's resized logits that are above each threshold.

    For the threshold 0, this is the area of `mask_runs`. It costs less, because no runs are made.

    Args:
        logits: (K, 256, 256) float32, finite, over the whole image, without the limit of +-32. Not changed.
        thresholds: (M,) float32.
        original: (height, width) of the original image.
    """
    height, _ = original
    rows, columns = (resize_axis(SIDE, side) for side in original)
    # One more column repeats the last, for the outputs beyond the last sample.
    samples = np.concatenate([logits, logits[..., -1:]], axis=-1)
    samples[np.abs(samples) < TINIEST] = 0
    bottom = resized_row(samples[:, -1], columns)
    areas: NDArray[np.int64] = height * np.count_nonzero(bottom[:, None] > thresholds[:, None], axis=-1)
    for mask, sums in zip(samples, areas, strict=True):
        for index, threshold in enumerate(thresholds):
            for cells in _mixed_cells(mask - threshold, columns):
                _, part = area_in_cells(rows, columns, cells)
                sums[index] += part.sum()
    return areas


def _mixed_cells(samples: Floats, columns: Axis) -> Iterator[Cells]:
    """Yield the cells that have corners of both signs."""
    cells = np.flatnonzero(mixed(samples > 0, 2))
    step = max(1, _CHUNK // int(np.diff(columns.first).max()))
    flat = samples.reshape(-1)
    for start in range(0, len(cells), step):
        row, column = np.divmod(cells[start : start + step], SIDE)
        corner = row * (SIDE + 1) + column
        lower = corner + SIDE + 1
        yield Cells(row, column, (flat[corner], flat[corner + 1], flat[lower], flat[lower + 1]))
