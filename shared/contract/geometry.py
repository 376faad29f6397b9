"""Sizes, and where pixels are.

All sizes are (height, width) in pixels, as in segment_anything. Points are (x, y), x to the right, y down, continuous:
the centre of the top-left pixel is (0.5, 0.5).
"""

from __future__ import annotations

Size = tuple[int, int]
"""(height, width)."""
