"""In which rounds the points of a grid are decoded, and which points a round leaves out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from prompt_api.everything.interface import CropImage
from prompt_api.everything.options import Mode

CONFIDENT = 8.5
"""A point under a logit above this needs no prompt of its own: the mask that covers it would come again."""

Bools = NDArray[np.bool_]


def rounds(per_side: int, mode: Mode) -> list[NDArray[np.int64]]:
    """Return the numbers of the points of each round; the points are numbered row by row.

    EXACT has one round with all points. FAST has every second point of each side first, then the others.

    Source: the hierarchical way of TinySAM (arXiv 2312.13789), section 3.3.
    """
    numbers = np.arange(per_side * per_side)
    if mode is Mode.EXACT:
        return [numbers]
    row, column = np.divmod(numbers, per_side)
    first = (row % 2 == 0) & (column % 2 == 0)
    return [numbers[first], numbers[~first]]


class Covered:
    """The points of a grid that confident masks cover."""

    def __init__(self, image: CropImage, points: NDArray[np.float64]) -> None:
        """Args:
        points: (N, 2) as (x, y), in pixels of the crop.
        """
        self._image = image
        self._points = points
        self._covered = np.zeros(len(points), dtype=bool)

    def add(self, marks: Iterable[Bools]) -> None:
        """Add what `by` returned for some masks."""
        for mark in marks:
            self._covered |= mark

    def by(self, logits: NDArray[np.float32]) -> Bools:
        """Return which points (N,) the mask of the logits covers with confidence."""
        return self._image.logits_at(logits, self._points) > np.float32(CONFIDENT)

    def left(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of the points that nothing covers."""
        return numbers[~self._covered[numbers]]
