"""In which rounds the points of a grid are decoded, and which points are left out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prompt_api.everything.options import Mode

CONFIDENT = 8.5
"""A point under a logit above this needs no prompt of its own: the mask that covers it would come again."""

MOST = 0.4
"""The part of the points that fast mode decodes at most."""

ROUND = 64
"""Points in each round of fast mode after the first. Fewer points would leave threads without work more often."""

_STEP = 0.7548776662466927, 0.5698402909980532
"""Spreads points evenly: the additive recurrence R2 of M. Roberts (2018), from the plastic number."""

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


class Rounds:
    """The rounds of one grid. Points are numbered row by row.

    EXACT has one round with all points. FAST decodes every second point of each side first. Then it decodes points that
    no mask of the rounds before covers with confidence, spread over the image, up to two fifths of all points.

    Source: the hierarchical way of TinySAM (arXiv 2312.13789). It decodes all points that are left in one second round.

    Attributes:
        most: the most points that are decoded.
    """

    def __init__(self, per_side: int, mode: Mode) -> None:
        numbers = np.arange(per_side * per_side)
        self.most = len(numbers)
        self._first: Ints | None = numbers
        self._later = numbers[:0]
        if mode is Mode.FAST:
            row, column = np.divmod(numbers, per_side)
            at_first = (row % 2 == 0) & (column % 2 == 0)
            self._first = numbers[at_first]
            spread = (row * _STEP[0] + column * _STEP[1]) % 1
            order = np.argsort(spread, kind="stable")
            self._later = order[~at_first[order]]
            self.most = max(len(self._first), int(MOST * len(numbers)))
        self._left = self.most

    def next(self, covered: Bools) -> Ints:
        """Return the points of the next round. There are none once the last round is over.

        Args:
            covered: (N,) the points that masks of the rounds before cover with confidence.
        """
        if self._first is not None:
            chosen, self._first = self._first, None
        else:
            self._later = self._later[~covered[self._later]]
            count = min(ROUND, self._left)
            chosen, self._later = self._later[:count], self._later[count:]
        self._left -= len(chosen)
        return chosen
