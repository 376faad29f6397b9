"""Where a mask is, how large it is, and what its outline looks like from its middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ANGLES = 24
"""Directions from the middle in which a thing is looked at."""

OUTLINE_RINGS = (0.2, 0.45, 0.7, 0.9, 1.1, 1.3, 1.6, 2.0)
"""Distances from the middle at which the outline is sampled, as factors of the radius of a disc of the same area."""

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Outlines:
    """The outlines of N masks.

    Attributes:
        area: (N,), the share of the image that each covers.
        middle: (N, 2) as (y, x), their centres of mass in cells of the low-res grid.
        reach: (N, 2) as (y, x), the radius of a disc of the same area in such cells. The two differ if the frame does
            not keep the aspect ratio of the image.
        rings: (N, rings, angles), the mask around its middle, each of length 1.
    """

    area: Floats
    middle: Floats
    reach: Floats
    rings: Floats

    @classmethod
    def of(cls, masks: Bits, inside: tuple[float, float], aspect: float) -> Outlines:
        """Measure masks.

        Args:
            masks: (N, S, S) over the model's frame, none of them empty.
            inside: (height, width) of the image in cells of that grid.
            aspect: how many times as tall as wide such a cell is in the original.
        """
        count = masks.sum(axis=(1, 2), dtype=np.int64)
        rows, columns = masks.sum(axis=2, dtype=np.int64), masks.sum(axis=1, dtype=np.int64)
        places = np.arange(masks.shape[1]) + 0.5
        middle = np.stack([rows @ places, columns @ places], axis=1) / count[:, None]
        radius = np.sqrt(count / np.pi)
        reach = radius[:, None] * np.array([aspect**-0.5, aspect**0.5])
        y, x = around(middle, reach, OUTLINE_RINGS)
        side = masks.shape[1]
        row, column = (np.floor(at).astype(np.int64) for at in (y, x))
        seen = (row >= 0) & (row < side) & (column >= 0) & (column < side)
        each = np.arange(len(masks))[:, None, None]
        rings = (masks[each, row.clip(0, side - 1), column.clip(0, side - 1)] & seen).astype(np.float64)
        # A ring counts by its length.
        rings *= np.sqrt(np.array(OUTLINE_RINGS))[:, None]
        return cls(count / (inside[0] * inside[1]), middle, reach, unit(rings))


def around(middle: Floats, reach: Floats, rings: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Return (y, x) of the samples around each middle, each (N, rings, angles)."""
    turn = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    distance = np.array(rings)[None, :, None]
    y = middle[:, 0, None, None] + distance * reach[:, 0, None, None] * np.sin(turn)
    x = middle[:, 1, None, None] + distance * reach[:, 1, None, None] * np.cos(turn)
    return y, x


def unit(values: Floats) -> Floats:
    """Return the values (N, ...) with the length of each of the N made 1; 0 stays 0."""
    flat = values.reshape(len(values), -1)
    length = np.linalg.norm(flat, axis=1).clip(min=1e-12)
    return np.asarray((flat / length[:, None]).reshape(values.shape))


def best_turn(one: Floats, others: Floats) -> Floats:
    """Return the largest product (N,) of `one` with each of the others, over all turns, mirrored or not.

    Args:
        one: (rings, angles, K).
        others: (N, rings, angles, K).
    """
    spectra = np.fft.rfft(others, axis=2)
    best = np.full(len(others), -np.inf)
    for way in (one, one[:, ::-1]):
        product = (spectra * np.fft.rfft(way, axis=1).conj()).sum(axis=(1, 3))
        best = np.maximum(best, np.fft.irfft(product, n=ANGLES, axis=1).max(axis=1))
    return best
