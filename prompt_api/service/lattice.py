"""Chooses the region of a large image in which objects are seen well.

Regions have a few sizes and lie on a lattice, so that neighbouring objects of one size share one, and its encoding.
`docs/regions.md` has the measurements behind the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.contract.geometry import Size
from shared.contract.region import Region

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels of the EXIF-oriented original."""

SMALLEST = 256
"""Side of the smallest regions, in pixels."""

ROOM = 2.5
"""Least sides of a region for each side of an object: what is around an object tells where it ends."""

STEPS = 4
"""Places of the lattice for each side of a region."""

MARGIN = 1 / 16
"""Share of a region's side that an object keeps away from an edge of the region that is not the image's."""

GAIN = 1.5
"""A region whose pixels are not this much finer than those of the whole image is not worth an encoding."""


def region_around(boxes: Sequence[Box], original: Size, *, least: int = SMALLEST) -> Region | None:
    """Return the region that suits the objects with these boxes, or None if the whole image suits better.

    All objects lie inside the region, away from each edge of it that is not the image's. A region on the lattice is
    taken if there is one, otherwise one of their own.

    Args:
        boxes: at least one. They may reach out of the image; what is outside does not count.
        original: (height, width).
        least: the least side of the region, in pixels. Other sides are `SMALLEST` times a power of two.
    """
    height, width = original
    inside = [_inside(box, original) for box in boxes]
    left, top = min(box[0] for box in inside), min(box[1] for box in inside)
    right, bottom = max(box[2] for box in inside), max(box[3] for box in inside)
    largest = max(max(box[2] - box[0], box[3] - box[1]) for box in inside)
    side = SMALLEST
    while side < least or side < ROOM * largest or (1 - 2 * MARGIN) * side < max(right - left, bottom - top):
        side *= 2
    if side * GAIN > max(height, width):
        return None
    x0, x1 = _span(left, right, side, width)
    y0, y1 = _span(top, bottom, side, height)
    return Region(x0, y0, x1, y1)


def _inside(box: Box, original: Size) -> Box:
    height, width = original
    x0, x1 = (min(max(x, 0.0), float(width)) for x in (box[0], box[2]))
    y0, y1 = (min(max(y, 0.0), float(height)) for y in (box[1], box[3]))
    return x0, y0, x1, y1


def _span(low: float, high: float, side: int, whole: int) -> tuple[int, int]:
    """Return where a region of `side` pixels around low..high begins and ends, along an axis of `whole` pixels."""
    if side >= whole:
        return 0, whole
    step = side // STEPS
    middle, last, margin = (low + high) / 2 - side / 2, whole - side, side * MARGIN
    start = min(max(0, round(middle / step) * step), last)
    if (start > 0 and low < start + margin) or (start < last and high > start + side - margin):
        start = min(max(0, round(middle)), last)
    return start, start + side
