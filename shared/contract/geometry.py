"""The type of a size, and the conventions for sizes and points.

All sizes are (height, width) in pixels, as in segment_anything. Points are (x, y): x points right and y points down.
Coordinates are continuous: the centre of the top-left pixel is (0.5, 0.5).
"""

from __future__ import annotations

Size = tuple[int, int]
"""(height, width)."""
