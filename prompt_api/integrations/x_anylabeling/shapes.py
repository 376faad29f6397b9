"""Turns masks into shapes of X-AnyLabeling."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from prompt_api.integrations.x_anylabeling.rectangles import smallest_rectangle
from prompt_api.integrations.x_anylabeling.wire import OBJECT, Shape, ShapeForm
from prompt_api.masks.polygons import encode_polygons
from prompt_api.masks.runs import ColumnRuns
from prompt_api.masks.simplify import simplify_ring

LEAST_PART = 0.2
"""A part of the mask is left out if its area is at most this share of the mean area of all parts, as X-AnyLabeling's
own server does."""

MOST_PARTS = 100
"""Most parts of one mask that become polygons, the largest first."""

LEAST_TOLERANCE = 1.0
"""Least tolerance of a polygon in pixels. It smooths the steps of one pixel along a slanted edge."""

Floats = NDArray[np.float64]


def shapes(runs: ColumnRuns, score: float, form: ShapeForm, fineness: float) -> list[Shape]:
    """Return the mask as shapes: a polygon for each part of it, or one rectangle around all parts. Holes are filled.

    Args:
        score: the IoU that the model predicts; it is clipped to 0…1, as X-AnyLabeling's schema wants it.
        fineness: how far a polygon may leave the edge of its part, as a share of the edge's length.
    """
    rings = _parts(runs)
    if not rings:
        return []
    score = min(max(score, 0.0), 1.0)
    if form is ShapeForm.RECTANGLE:
        corners = np.concatenate(rings)
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        return [
            _shape(ShapeForm.RECTANGLE, np.array([(left, top), (right, top), (right, bottom), (left, bottom)]), score)
        ]
    if form is ShapeForm.ROTATION:
        rectangle = smallest_rectangle(np.concatenate(rings))
        x, y = rectangle[1] - rectangle[0]
        return [_shape(form, rectangle, score, math.atan2(y, x) % math.tau)]
    simple = [_simplified(ring, fineness) for ring in rings]
    # X-AnyLabeling takes the repeated first point as the sign that the polygon is closed.
    return [_shape(form, np.concatenate([ring, ring[:1]]), score) for ring in simple]


def _shape(kind: ShapeForm, points: Floats, score: float, direction: float = 0.0) -> Shape:
    return {
        "label": OBJECT,
        "shape_type": kind.value,
        "points": points.round(2).tolist(),
        "score": score,
        "direction": direction,
    }


def _parts(runs: ColumnRuns) -> list[Floats]:
    """Return the outer rings, each (N, 2), of the parts that are large enough, the largest first."""
    rings = [np.array(polygon["outer"], dtype=np.float64) for polygon in encode_polygons(runs)]
    if not rings:
        return []
    areas = np.array([_area(ring) for ring in rings])
    order = np.argsort(-areas, kind="stable")
    wanted = order[areas[order] > LEAST_PART * areas.mean()][:MOST_PARTS]
    return [rings[index] for index in wanted]


def _simplified(ring: Floats, fineness: float) -> Floats:
    simple = simplify_ring(ring, max(LEAST_TOLERANCE, fineness * _length(ring)))
    return simple if len(simple) > 2 else ring


def _length(ring: Floats) -> float:
    """Return the length of a ring along pixel edges as a line through the middles of these edges would have it.

    On a slanted edge the ring itself is longer by up to 41 %, because it goes in steps. X-AnyLabeling measures a line
    through the middles of pixels, which is about as long as this one.
    """
    steps = np.abs(np.roll(ring, -1, axis=0) - ring).sum()
    return float(steps - len(ring) * (1 - math.sqrt(0.5)))


def _area(ring: Floats) -> float:
    x, y = ring.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
