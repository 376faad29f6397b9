"""Stretches samples without a fixed white to 8 bits: the least becomes 0, the greatest 255."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROWS_AT_ONCE = 256
"""Rows that are worked on at once, so that the numbers between take little memory."""


class Range:
    """The least and the greatest of the samples seen so far. NaN and infinity never count."""

    def __init__(self) -> None:
        self.least, self.greatest = math.inf, -math.inf

    def see(self, samples: NDArray[Any]) -> None:
        """Take note of samples of any shape, integers or floats."""
        seen = samples[np.isfinite(samples)] if samples.dtype.kind == "f" else samples
        if seen.size:
            self.least = min(self.least, float(seen.min()))
            self.greatest = max(self.greatest, float(seen.max()))

    def stretch(self, samples: NDArray[Any]) -> NDArray[np.uint8]:
        """Return samples of any shape as 0 (the least) to 255 (the greatest), rounded half up.

        If all are alike they become 0. So does NaN. Infinity becomes 0 or 255.
        """
        if not self.least < self.greatest:
            return np.zeros(samples.shape, np.uint8)
        # Halved, the largest floats keep a finite distance. Where that changes nothing it is left out.
        half = 0.5 if math.isinf(self.greatest - self.least) else 1.0
        least, greatest = half * self.least, half * self.greatest
        values = np.clip(samples.astype(np.float64) * half, least, greatest) - least
        values *= 255 / (greatest - least)
        values += 0.5
        return np.nan_to_num(values, copy=False).astype(np.uint8)


def stretched(samples: NDArray[Any], hidden: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """Return one channel, (H, W), stretched by itself.

    Args:
        hidden: (H, W), true where a sample does not count because it is transparent.
    """
    span = Range()
    for rows in _blocks(samples):
        span.see(samples[rows] if hidden is None else samples[rows][~hidden[rows]])
    result = np.empty(samples.shape, np.uint8)
    for rows in _blocks(samples):
        result[rows] = span.stretch(samples[rows])
    return result


def _blocks(samples: NDArray[Any]) -> Iterator[slice]:
    for start in range(0, samples.shape[0], ROWS_AT_ONCE):
        yield slice(start, start + ROWS_AT_ONCE)
