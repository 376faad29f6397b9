"""How good a ranking is: average precision, and recall at a precision of 0.9."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PRECISION = 0.9
MATCH = 0.5
"""A found mask is a thing if its IoU with the thing's true mask is at least this."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Judged:
    """Attributes:
    average_precision: the area under the curve of precision over recall, with precision made to fall.
    recall: the largest recall at a precision of at least `PRECISION`; 0 if there is none.
    """

    average_precision: float
    recall: float


def judged(found: Sequence[tuple[float, Mask]], wanted: Sequence[Mask]) -> Judged:
    """Judge a ranking.

    Args:
        found: similarity and mask (H, W) of each thing found.
        wanted: the true masks. Each counts once: a second mask of the same thing is wrong.
    """
    left = list(wanted)
    right = []
    for _, mask in sorted(found, key=lambda one: -one[0]):
        overlaps = [overlap(mask, true) for true in left]
        hit = bool(overlaps) and max(overlaps) >= MATCH
        if hit:
            left.pop(int(np.argmax(overlaps)))
        right.append(hit)
    if not right:
        return Judged(0.0, 0.0)
    hits = np.cumsum(right)
    precision, recall = hits / np.arange(1, len(right) + 1), hits / len(wanted)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    enough = recall[precision >= PRECISION]
    return Judged(float(falling[right].sum() / len(wanted)), float(enough.max(initial=0.0)))


def overlap(one: Mask, other: Mask) -> float:
    """Return the IoU, counted on every fourth pixel in each direction: the masks are large, and there are many."""
    one, other = one[::4, ::4], other[::4, ::4]
    return int((one & other).sum()) / max(1, int((one | other).sum()))


def interval(gains: NDArray[np.float64]) -> tuple[float, float]:
    """Return the range that holds 95 % of the means of gains (N,) drawn anew from the same N.

    Source: Efron, "Bootstrap methods: another look at the jackknife" (1979), the percentile interval.
    """
    drawn = np.random.default_rng(0).choice(gains, (2000, len(gains))).mean(axis=1)
    least, most = np.quantile(drawn, (0.025, 0.975))
    return float(least), float(most)
