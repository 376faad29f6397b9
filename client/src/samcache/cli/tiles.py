"""Where the tiles of `samcache warm --tiles` lie."""

from __future__ import annotations

import math
from itertools import pairwise

LARGEST_THING = 256
"""Pixels: things up to this size are seen well, unless the caller names another size."""

MOST_TILES = 1_024
"""Boxes of one image. About four of them share a region, and a service keeps 256 regions of an image by default:
further ones would push out the first."""

Box = tuple[float, float, float, float]


def tiles(width: int, height: int, thing: int) -> list[Box]:
    """Boxes (x0, y0, x1, y1) that cover an image without overlap, in rows from the top.

    Each box stands for a thing that may lie there. The service takes the region that suits it, which reaches further
    on every side: that is the halo.

    Args:
        thing: pixels of the largest thing. A side of a box is at most as long. If that gives more than `MOST_TILES`
            boxes, they become larger: twice, four times, …
    """
    while math.ceil(width / thing) * math.ceil(height / thing) > MOST_TILES:
        thing *= 2
    columns, rows = math.ceil(width / thing), math.ceil(height / thing)
    xs = [width * number / columns for number in range(columns + 1)]
    ys = [height * number / rows for number in range(rows + 1)]
    return [(x0, y0, x1, y1) for y0, y1 in pairwise(ys) for x0, x1 in pairwise(xs)]
