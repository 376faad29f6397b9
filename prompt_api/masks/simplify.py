"""Finds the corners of rings that a polygon within a tolerance needs.

All numbers are made with operations that IEEE 754 rounds in one way, so the page's `spans.js` finds the same corners.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.rings import Rings
from prompt_api.masks.spans import Spans, first_greatest

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MOST_ROUNDS = 64
"""How often a span between two corners is divided. What is then still off keeps all its corners. Rings of masks need
about 20 rounds. The limit bounds the time for any ring."""


def needed_squares(rings: Rings, finest: Floats, wanted: Bools | None = None) -> Floats:
    """Return for each point the square of the tolerance below which it is kept; 0 if that is not known: (N,).

    The first point of each ring and the point farthest from it are always kept: their number is infinite.

    Args:
        finest: (R,) for each ring, the square of the least tolerance of interest. The points that a greater tolerance t
            keeps are those with numbers above t**2. They are within t of all other points of their ring.
        wanted: (N,) further points that are always kept, or None.

    Source: Douglas and Peucker, 1973, on all spans of all rings at once.
    """
    points, starts = rings.points, rings.starts
    needed = np.zeros(len(points))
    if wanted is not None:
        needed[wanted] = np.inf
    needed[starts[:-1]] = np.inf
    needed[_farthest_from_start(rings)] = np.inf
    divide(Spans.between(rings, needed > 0), finest, needed)
    return needed


def divide(spans: Spans, finest: Floats, needed: Floats) -> None:
    """Write into `needed` the numbers of the points that divide the spans, until all are within `finest`.

    Args:
        finest: (R,) as for `needed_squares`.
        needed: (N,) the numbers of all points.
    """
    around = np.full(len(spans.first), np.inf)
    for _ in range(MOST_ROUNDS):
        has_inner = spans.inner > 0
        spans, around = spans.chosen(has_inner), around[has_inner]
        if not around.size:
            return
        middle, distance = spans.worst()
        is_off = distance > finest[spans.ring]
        spans, middle = spans.chosen(is_off), middle[is_off]
        # A point is reached only if the one that split its span is kept.
        around = np.minimum(distance[is_off], around[is_off])
        needed[middle] = around
        spans, around = spans.split(middle), np.concatenate([around, around])
    inner, span = spans.inner_points()
    needed[inner] = around[span]


def _farthest_from_start(rings: Rings) -> Ints:
    """Return the point of each ring that is farthest from its first; of several, the earliest."""
    size = np.diff(rings.starts)
    away = rings.points - np.repeat(rings.points[rings.starts[:-1]], size, axis=0)
    return first_greatest((away * away).sum(axis=1), size)[0]
