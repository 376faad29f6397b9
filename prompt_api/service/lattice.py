"""Chooses the region of a large image in which an object is seen well.

Regions have a few sizes and lie on a lattice, so that neighbouring objects of one size share one, and its encoding.
"""

from __future__ import annotations

from shared.contract.geometry import Size
from shared.contract.region import Region

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels of the EXIF-oriented original."""

SMALLEST = 256
"""Side of the smallest regions, in pixels."""

ROOM = 2.5
"""Sides of a region for each side of the object: what is around an object tells where it ends."""

STEPS = 4
"""Places of the lattice for each side of a region."""

GAIN = 1.5
"""A region whose pixels are not this much finer than those of the whole image is not worth an encoding."""


def region_around(box: Box, original: Size) -> Region | None:
    """Return the region that suits an object with this box, or None if the whole image suits better.

    The object lies inside the region, away from each edge of the region that is not the image's.

    Args:
        box: may reach out of the image; what is outside does not count.
        original: (height, width).
    """
    height, width = original
    x0, x1 = (min(max(x, 0.0), float(width)) for x in (box[0], box[2]))
    y0, y1 = (min(max(y, 0.0), float(height)) for y in (box[1], box[3]))
    side = SMALLEST
    while side < ROOM * max(x1 - x0, y1 - y0):
        side *= 2
    if side * GAIN > max(height, width):
        return None
    left, right = _span((x0 + x1) / 2, side, width)
    top, bottom = _span((y0 + y1) / 2, side, height)
    return Region(left, top, right, bottom)


def _span(middle: float, side: int, whole: int) -> tuple[int, int]:
    """Return where a region of `side` pixels begins and ends along one axis of `whole` pixels."""
    if side >= whole:
        return 0, whole
    step = side // STEPS
    start = min(max(0, round((middle - side / 2) / step) * step), whole - side)
    return start, start + side
