"""The smallest rectangle, at any angle, around points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def smallest_rectangle(points: Floats) -> Floats:
    """Return the four corners, (4, 2), of the rectangle of least area around the (N, 2) points.

    The corners go clockwise on the screen. The points must not all lie on one line.

    Source: Freeman and Shapira, 1975: one side of that rectangle lies on a side of the convex hull.
    """
    hull = _hull(points)
    sides = np.roll(hull, -1, axis=0) - hull
    along = sides / np.hypot(sides[:, 0], sides[:, 1])[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    u, v = hull @ along.T, hull @ across.T  # (points, sides)
    areas = np.ptp(u, axis=0) * np.ptp(v, axis=0)
    best = int(np.argmin(areas))
    corners = [
        (low_or_high_u, low_or_high_v)
        for low_or_high_u, low_or_high_v in (
            (u[:, best].min(), v[:, best].min()),
            (u[:, best].max(), v[:, best].min()),
            (u[:, best].max(), v[:, best].max()),
            (u[:, best].min(), v[:, best].max()),
        )
    ]
    rectangle: Floats = np.array(corners) @ np.stack([along[best], across[best]])
    return rectangle


def _hull(points: Floats) -> Floats:
    """Return the convex hull of the points, in order. Source: Andrew, 1979."""
    ordered = np.unique(points, axis=0)  # by x, then by y
    # Of each column only the highest and the lowest point can be on the hull.
    first = np.flatnonzero(np.diff(ordered[:, 0], prepend=-np.inf))
    last = np.append(first[1:], len(ordered)) - 1
    lower, upper = _chain(ordered[first]), _chain(ordered[last][::-1])
    joined = np.array(lower + upper)
    return joined[np.any(joined != np.roll(joined, 1, axis=0), axis=1)]


def _chain(points: Floats) -> list[tuple[float, float]]:
    kept: list[tuple[float, float]] = []
    for x, y in points.tolist():
        while len(kept) > 1:
            (x0, y0), (x1, y1) = kept[-2:]
            if (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) > 0:
                break
            kept.pop()
        kept.append((x, y))
    return kept
