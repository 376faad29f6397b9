"""Fills GeoJSON geometries, to compare them with masks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


def filled(geometry: dict[str, Any], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the (height, width) pixels whose centres lie in the geometry, by the even-odd rule over all rings."""
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    height, width = size
    inside = np.zeros((height, width), bool)
    x = np.arange(width) + 0.5
    for ring in (ring for polygon in polygons for ring in polygon):
        for (x0, y0), (x1, y1) in pairwise(ring):
            for row in range(height):
                if min(y0, y1) <= row + 0.5 < max(y0, y1):
                    inside[row] ^= x > x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    return inside
