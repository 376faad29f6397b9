"""Turns a mask into polygons that people can edit: with few corners, no holes and no specks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.polygons import encode_polygons
from prompt_api.masks.runs import ColumnRuns
from shared.contract.models import SAM1

LEAST_PART = 0.01
"""A part of the mask is left out if its area is smaller than this share of the largest part."""

LEAST_TOLERANCE = 1.5
"""Least tolerance in pixels. It smooths the pixel steps of a mask in a small image."""

Floats = NDArray[np.float64]


def outlines(runs: ColumnRuns) -> list[list[list[float]]]:
    """Return the outer borders of the mask's parts, the largest first, as rings of `[x, y]`.

    The points are in percent of width and height. The lines stay within about two pixels of the mask's border, in
    pixels of the model's 1024 frame. Holes are filled, because Label Studio's polygons cannot have holes.
    """
    height, width = runs.size
    tolerance = max(LEAST_TOLERANCE, 2 * max(height, width) / SAM1.frame.side)
    rings = [np.array(polygon["outer"], dtype=np.float64) for polygon in encode_polygons(runs)]
    rings.sort(key=_area, reverse=True)
    wanted = [ring for ring in rings if _area(ring) >= LEAST_PART * _area(rings[0])]
    return [(_simplified(ring, tolerance) / (width, height) * 100).tolist() for ring in wanted]


def _simplified(ring: Floats, tolerance: float) -> Floats:
    simple = simplify_ring(ring, tolerance)
    return simple if len(simple) > 2 else ring  # the whole ring is smaller than the tolerance


def simplify_ring(ring: Floats, tolerance: float) -> Floats:
    """Return the (M, 2) points of the closed (N, 2) ring whose polygon is within `tolerance` of all other points.

    Source: Douglas and Peucker, 1973, applied to the two halves between the first point and the point farthest from it.
    """
    far = int(np.argmax(((ring - ring[0]) ** 2).sum(axis=1)))
    closed = np.concatenate([ring, ring[:1]])
    keep = np.zeros(len(closed), dtype=bool)
    keep[[0, far]] = True
    open_spans = [(0, far), (far, len(ring))]
    while open_spans:
        start, stop = open_spans.pop()
        if stop - start < 2:
            continue
        distance = _distance(closed[start + 1 : stop], closed[start], closed[stop])
        worst = int(np.argmax(distance))
        if distance[worst] > tolerance:
            middle = start + 1 + worst
            keep[middle] = True
            open_spans += [(start, middle), (middle, stop)]
    return closed[:-1][keep[:-1]]


def _distance(points: Floats, start: Floats, stop: Floats) -> Floats:
    """Return the (N,) distances from (N, 2) points to the segment from start to stop."""
    along = stop - start
    length = float(along @ along)
    place = ((points - start) @ along / length).clip(0, 1) if length else np.zeros(len(points))
    away = points - (start + place[:, None] * along)
    distance: Floats = np.hypot(away[:, 0], away[:, 1])
    return distance


def _area(ring: Floats) -> float:
    x, y = ring.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
