"""Turns a mask into polygons that people can edit: with few corners, no holes and no specks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.polygons import simplified, with_points
from prompt_api.masks.rings import Rings, rings_of
from prompt_api.masks.runs import ColumnRuns
from prompt_api.masks.simplify import needed_squares
from prompt_api.masks.untangle import touching_corners, untangled
from shared.contract.models import SAM1

LEAST_PART = 0.01
"""A part of the mask is left out if its area is smaller than this share of the largest part."""

FRAME_PIXELS = 2.0
"""Greatest tolerance in pixels of the model's 1024 frame."""

LEAST_TOLERANCE = 1.5
"""In a small image the greatest tolerance is this many pixels, so that it smooths the pixel steps of a mask."""

FINEST = 0.5
"""Tolerances below this many pixels are not tried. The polygon then is the mask's own border."""

LEAST_IOU = 0.97
"""Least IoU of a polygon with its part of the mask."""

MOST_WORK = 500_000
"""Greatest product of the points of a ring and those of its polygon for which spare points are looked for."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def outlines(runs: ColumnRuns, tolerance: float = 0.0) -> list[list[list[float]]]:
    """Return the outer borders of the mask's parts, the largest first, as rings of `[x, y]`.

    The points are in percent of width and height. Holes are filled, because Label Studio's polygons cannot have holes.
    No border crosses itself or another.

    Args:
        tolerance: pixels by which a border may leave the mask's edge. With 0 it follows the frame: two pixels of the
            model's 1024 frame. It is smaller for a small object, whose polygon otherwise would lose its shape: the
            greatest tolerance whose polygon has an IoU of at least `LEAST_IOU` with the object.
    """
    if not runs.x.size:
        return []
    height, width = runs.size
    rings = _parts(runs)
    if tolerance > 0:
        found = simplified(rings, np.full(len(rings.part), tolerance))
    else:
        found = _in_shape(rings, max(LEAST_TOLERANCE, FRAME_PIXELS * max(height, width) / SAM1.frame.side))
    return [(ring / (width, height) * 100).tolist() for ring in found.each()]


def _parts(runs: ColumnRuns) -> Rings:
    """Return the outer rings of the parts that are large enough, the largest first."""
    rings = rings_of(runs)
    areas = rings.areas[rings.outer]
    order = np.argsort(-areas, kind="stable")
    return rings.chosen(rings.outer[order[areas[order] >= LEAST_PART * areas.max()]])


def _in_shape(rings: Rings, tolerance: float) -> Rings:
    """Return the rings with the fewest points, within `tolerance`, that keep their shape."""
    kept, points = [], []
    for number, ring in enumerate(rings.each()):
        in_ring = _kept(rings.chosen(np.array([number])), tolerance)
        # `untangled` keeps the first point of each ring, so each begins at a point that stays.
        begin = int(np.argmax(in_ring))
        kept.append(np.roll(in_ring, -begin))
        points.append(np.roll(ring, -begin, axis=0))
    turned = replace(rings, points=np.concatenate(points))
    wanted = np.concatenate(kept) | touching_corners(turned)
    return with_points(turned, untangled(turned, wanted, np.full(len(rings.part), tolerance**2)))


def _kept(rings: Rings, tolerance: float) -> NDArray[np.bool_]:
    """Return which points of the one ring to keep, (N,): those for the greatest tolerance that keeps its shape."""
    ring = rings.points.astype(np.float64)
    finest = tolerance
    needed = _needed(rings, finest)
    while not _keeps_shape(ring[needed > finest], ring):
        if finest <= FINEST:
            return np.ones(len(ring), dtype=bool)
        finest = max(finest / 2, FINEST)
        needed = _needed(rings, finest)
    if finest == tolerance:
        return needed > finest
    steps = np.unique(needed[(needed > finest) & (needed <= tolerance)])[::-1]
    # A smaller tolerance adds points. Search for the first step with enough of them.
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high) // 2
        if _keeps_shape(ring[needed >= steps[middle]], ring):
            high = middle
        else:
            low = middle + 1
    return _without_spare(ring, needed, needed >= steps[low])


def _needed(rings: Rings, finest: float) -> Floats:
    return np.sqrt(needed_squares(rings, np.array([finest**2])))


def _without_spare(ring: Floats, needed: Floats, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Leave out further points while the shape is kept, those first that the least tolerance leaves out.

    A ring for which this takes too long stays as it is. Nobody edits so many points one by one.
    """
    if np.count_nonzero(kept) * len(ring) > MOST_WORK:
        return kept
    kept = kept.copy()
    for point in sorted(np.flatnonzero(kept), key=lambda index: float(needed[index])):
        kept[point] = False
        kept[point] = not _keeps_shape(ring[kept], ring)
    return kept


def _keeps_shape(simple: Floats, ring: Floats) -> bool:
    return len(simple) > 2 and filled_iou(simple, ring) >= LEAST_IOU


def filled_iou(simple: Floats, ring: Floats) -> float:
    """Return the IoU of the pixels whose centres lie in two closed rings (N, 2), by the even-odd rule.

    Programs differ on centres that lie exactly on a line of `simple`. All of them count as wrong here.
    """
    inner, outer, wanted = _crossings(simple, _NUDGE), _crossings(simple, -_NUDGE), _crossings(ring, 0.0)
    on_a_line = _difference(inner, outer)
    different = (_difference(inner, wanted) + _difference(outer, wanted) + on_a_line) / 2
    # The sum of both areas is twice the part in both and once what is different.
    together = _filled(inner) + _filled(wanted) + different
    return 1 - 2 * different / together if together else 0.0


_NUDGE = 1e-6
"""Moves centres off a line to one side, in pixels."""

_COLUMNS = 1 << 20
"""More than an image can have."""


def _crossings(ring: Floats, nudge: float) -> Ints:
    """Return where the ring crosses the middle of a row: row * `_COLUMNS` + the first column whose centre is beyond.

    Args:
        nudge: added to each x.
    """
    start, stop = ring, np.roll(ring, -1, axis=0)
    low, high = (np.ceil(bound(start[:, 1], stop[:, 1]) - 0.5).astype(np.int64) for bound in (np.minimum, np.maximum))
    rows = high - low
    edge = np.repeat(np.arange(len(ring)), rows)
    row = np.arange(rows.sum()) - np.repeat(np.cumsum(rows) - rows, rows) + low[edge]
    (x0, y0), (x1, y1) = start[edge].T, stop[edge].T
    x = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    crossings: Ints = row * _COLUMNS + np.ceil(x + nudge - 0.5).astype(np.int64)
    return crossings


def _filled(crossings: Ints) -> int:
    """Return the number of pixels between each odd crossing and the next."""
    ordered = np.sort(crossings)
    return int((ordered[1::2] - ordered[::2]).sum())


def _difference(one: Ints, other: Ints) -> int:
    """Return the number of pixels that only one of two rings has, by their crossings."""
    return _filled(np.concatenate([one, other]))
