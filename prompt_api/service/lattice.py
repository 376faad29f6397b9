"""Chooses the region of a large image in which objects are seen well.

Regions have a few sizes and lie on a lattice, so that neighbouring objects of one size share one, and its encoding.
`docs/regions.md` has the measurements behind the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.contract.geometry import Size
from shared.contract.region import LEAST_SIDE, Region

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels of the EXIF-oriented original."""

SMALLEST = 512
"""Side of the smallest regions, in pixels."""

ROOM = 4
"""Least sides of a region for each side of an object: what is around it tells where it ends, and what is a part."""

STEPS = 2
"""Places of the lattice for each side of a region."""

MARGIN = 1 / 16
"""Share of a region's side that an object keeps away from an edge of the region that is not the image's."""

GAIN = 1.5
"""A region whose pixels are not this much finer than those of the whole image is not worth an encoding."""

SHARED = 2
"""A region that is ready serves an object if its side is at most this many times the side that suits the object."""


def region_around(
    boxes: Sequence[Box],
    original: Size,
    *,
    ready: Iterable[Region] = (),
    room: float = ROOM,
    least: int = SMALLEST,
) -> Region | None:
    """Return the region that suits the objects with these boxes, or None if the whole image suits better.

    All objects lie inside the region, away from each edge of it that is not the image's. The smallest ready region that
    holds them so is taken; if there is none, the nearest one on the lattice; and if that does not hold them, one of
    their own around their middle.

    Args:
        boxes: at least one. They may reach out of the image; what is outside does not count.
        original: (height, width).
        ready: regions whose embeddings are at hand.
        room: least sides of the region for each side of an object.
        least: the least side of the region, in pixels. Sides on the lattice are `SMALLEST` times a power of two.
    """
    height, width = original
    inside = [_inside(box, original) for box in boxes]
    around = (
        min(box[0] for box in inside),
        min(box[1] for box in inside),
        max(box[2] for box in inside),
        max(box[3] for box in inside),
    )
    side = SMALLEST
    needed = max(least, room * max(max(box[2] - box[0], box[3] - box[1]) for box in inside))
    while side < needed or (1 - 2 * MARGIN) * side < max(around[2] - around[0], around[3] - around[1]):
        side *= 2
    if side * GAIN > max(height, width) or min(height, width) < LEAST_SIDE:
        return None
    fit = [one for one in ready if needed <= max(one.size) <= SHARED * side and holds(one, around, original)]
    if fit:
        return min(fit, key=lambda one: (max(one.size), one))
    x0, x1 = _span(around[0], around[2], side, width)
    y0, y1 = _span(around[1], around[3], side, height)
    return Region(x0, y0, x1, y1)


def holds(region: Region, box: Box, original: Size) -> bool:
    """Return whether the box lies inside the region, away from each edge of it that is not the image's."""
    height, width = original
    margin = MARGIN * max(region.size)
    return (
        (region.x0 == 0 or box[0] >= region.x0 + margin)
        and (region.y0 == 0 or box[1] >= region.y0 + margin)
        and (region.x1 == width or box[2] <= region.x1 - margin)
        and (region.y1 == height or box[3] <= region.y1 - margin)
        and box[0] < region.x1
        and box[1] < region.y1
        and box[2] > region.x0
        and box[3] > region.y0
    )


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
    middle, last, margin = (low + high - side) / 2, whole - side, side * MARGIN
    start = min(max(0, round(middle / step) * step), last)
    if (start > 0 and low < start + margin) or (start < last and high > start + side - margin):
        start = min(max(0, round(middle)), last)
    return start, start + side
