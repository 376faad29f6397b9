"""Turns masks into GeoJSON geometries that are valid for JTS, the library that QuPath reads them with."""

from __future__ import annotations

from prompt_api.integrations.samapi.wire import Geometry
from prompt_api.masks.polygons import Ring, encode_polygons
from prompt_api.masks.runs import ColumnRuns


def geometry(runs: ColumnRuns, tolerance: float = 0.0) -> Geometry | None:
    """Return the outline of the mask along its pixels' edges, or None for an empty mask.

    Pixel (x, y) is the square from (x, y) to (x + 1, y + 1), as in QuPath. Filling the exact geometry gives the same
    mask.

    Args:
        tolerance: pixels by which the outline may leave the mask's edge; 0 is the exact edge.
    """
    polygons = [
        [_closed(ring) for ring in (polygon["outer"], *polygon["holes"])]
        for polygon in encode_polygons(runs, tolerance)
    ]
    if not polygons:
        return None
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _closed(ring: Ring) -> Ring:
    return [*ring, ring[0]]
