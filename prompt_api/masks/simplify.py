"""Leaves out points of a ring that lie near the line between their neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def simplify_ring(ring: Floats, tolerance: float) -> Floats:
    """Return the (M, 2) points of the closed (N, 2) ring whose polygon is within `tolerance` of all other points."""
    return ring[needed_tolerances(ring, tolerance) > tolerance]


def needed_tolerances(ring: Floats, finest: float) -> Floats:
    """Return for each point of the closed (N, 2) ring the tolerance below which it is kept; 0 if that is not known.

    Args:
        finest: the least tolerance of interest. The points for a tolerance from it on are those with greater numbers.

    Source: Douglas and Peucker, 1973, applied to the two halves between the first point and the point farthest from it.
    """
    far = int(np.argmax(((ring - ring[0]) ** 2).sum(axis=1)))
    closed = np.concatenate([ring, ring[:1]])
    needed = np.zeros(len(closed))
    needed[[0, far]] = np.inf
    open_spans = [(0, far, np.inf), (far, len(ring), np.inf)]
    while open_spans:
        start, stop, around = open_spans.pop()
        if stop - start < 2:
            continue
        distance = _distance(closed[start + 1 : stop], closed[start], closed[stop])
        worst = int(np.argmax(distance))
        if distance[worst] > finest:
            middle = start + 1 + worst
            # A point is reached only if the one that split its span is kept.
            needed[middle] = min(float(distance[worst]), around)
            open_spans += [(start, middle, needed[middle]), (middle, stop, needed[middle])]
    return needed[:-1]


def _distance(points: Floats, start: Floats, stop: Floats) -> Floats:
    """Return the (N,) distances from (N, 2) points to the segment from start to stop."""
    along = stop - start
    length = float(along @ along)
    place = ((points - start) @ along / length).clip(0, 1) if length else np.zeros(len(points))
    away = points - (start + place[:, None] * along)
    distance: Floats = np.hypot(away[:, 0], away[:, 1])
    return distance
