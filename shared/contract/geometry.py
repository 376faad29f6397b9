"""The type of a size, and the conventions for sizes and points.

All sizes are (height, width) in pixels, as in segment_anything. Points are (x, y): x points right and y points down.
Coordinates are continuous: the centre of the top-left pixel is (0.5, 0.5).
"""

from __future__ import annotations

Size = tuple[int, int]
"""(height, width)."""

MAX_SIDE = 65_535
"""Longest side in pixels, which is JPEG's own limit. The cost of a mask grows with the sides as well as the pixels."""


def is_image_size(height: object, width: object, max_pixels: int = MAX_SIDE * MAX_SIDE) -> bool:
    """Return whether an image that this service accepts can have this size. Sizes from Redis are checked with it."""
    return (
        type(height) is int
        and type(width) is int
        and 0 < height <= MAX_SIDE
        and 0 < width <= MAX_SIDE
        and height * width <= max_pixels
    )
