"""Turns masks into shapes of X-AnyLabeling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompt_api.integrations.x_anylabeling.rectangles import smallest_rectangle
from prompt_api.integrations.x_anylabeling.wire import OBJECT, Shape, ShapeForm
from prompt_api.masks.polygons import simplified
from prompt_api.masks.rings import Rings, rings_of
from prompt_api.masks.runs import ColumnRuns

LEAST_PART = 0.2
"""A part of the mask is left out if its area is at most this share of the mean area of all parts, as X-AnyLabeling's
own server does."""

MOST_PARTS = 100
"""Most parts of one mask that become polygons, the largest first."""

LEAST_TOLERANCE = 1.0
"""Least tolerance of a polygon in pixels. It smooths the steps of one pixel along a slanted edge."""


def shapes(runs: ColumnRuns, score: float, form: ShapeForm, fineness: float) -> list[Shape]:
    """Return the mask as shapes: a polygon for each part of it, or one rectangle around all parts. Holes are filled.

    Args:
        score: the IoU that the model predicts; it is clipped to 0…1, as X-AnyLabeling's schema wants it.
        fineness: how far a polygon may leave the edge of its part, as a share of the edge's length.
    """
    if not runs.x.size:
        return []
    rings = _parts(runs)
    score = min(max(score, 0.0), 1.0)
    if form is ShapeForm.RECTANGLE:
        (left, top), (right, bottom) = rings.points.min(axis=0), rings.points.max(axis=0)
        return [
            _shape(ShapeForm.RECTANGLE, np.array([(left, top), (right, top), (right, bottom), (left, bottom)]), score)
        ]
    if form is ShapeForm.ROTATION:
        rectangle = smallest_rectangle(rings.points.astype(np.float64))
        x, y = rectangle[1] - rectangle[0]
        return [_shape(form, rectangle, score, math.atan2(y, x) % math.tau)]
    tolerances = np.array([max(LEAST_TOLERANCE, fineness * _length(ring)) for ring in rings.each()])
    # X-AnyLabeling takes the repeated first point as the sign that the polygon is closed.
    return [_shape(form, np.concatenate([ring, ring[:1]]), score) for ring in simplified(rings, tolerances).each()]


def _shape(kind: ShapeForm, points: NDArray[Any], score: float, direction: float = 0.0) -> Shape:
    return {
        "label": OBJECT,
        "shape_type": kind.value,
        "points": points.round(2).tolist(),
        "score": score,
        "direction": direction,
    }


def _parts(runs: ColumnRuns) -> Rings:
    """Return the outer rings of the parts that are large enough, the largest first."""
    rings = rings_of(runs)
    areas = rings.areas[rings.outer]
    order = np.argsort(-areas, kind="stable")
    wanted = order[areas[order] > LEAST_PART * areas.mean()][:MOST_PARTS]
    return rings.chosen(rings.outer[wanted])


def _length(ring: NDArray[np.int64]) -> float:
    """Return the length of a ring along pixel edges as a line through the middles of these edges would have it.

    On a slanted edge the ring itself is longer by up to 41 %, because it goes in steps. X-AnyLabeling measures a line
    through the middles of pixels, which is about as long as this one.
    """
    steps = np.abs(np.roll(ring, -1, axis=0) - ring).sum()
    return float(steps - len(ring) * (1 - math.sqrt(0.5)))
