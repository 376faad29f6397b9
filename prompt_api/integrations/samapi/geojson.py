"""Turns masks into GeoJSON geometries that are valid for JTS, the library that QuPath reads them with."""

from __future__ import annotations

from collections.abc import Sequence

from prompt_api.integrations.samapi.wire import Geometry
from prompt_api.masks.polygons import Ring, encode_polygons
from prompt_api.masks.runs import ColumnRuns


def geometry(runs: ColumnRuns) -> Geometry | None:
    """Return the exact outline of the mask along its pixels' edges, or None for an empty mask.

    Pixel (x, y) is the square from (x, y) to (x + 1, y + 1), as in QuPath. Filling the geometry gives the same mask.

    A ring of `encode_polygons` may touch itself at a corner. Valid geometries have no such ring (OGC 06-103r4, 6.1.11),
    so it is cut there into several: what an outer ring encloses with such a loop is a hole.
    """
    polygons = []
    for polygon in encode_polygons(runs):
        outer, *enclosed = _by_size(_simple_rings(polygon["outer"]))
        holes = [*enclosed, *(ring for hole in polygon["holes"] for ring in _simple_rings(hole))]
        polygons.append([_closed(ring) for ring in (outer, *holes)])
    if not polygons:
        return None
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _simple_rings(ring: Ring) -> list[Ring]:
    """Cut a ring into rings that visit each point once. Their edges together are those of the ring."""
    rings: list[Ring] = []
    path: list[tuple[int, int]] = []
    place: dict[tuple[int, int], int] = {}
    for x, y in ring:
        start = place.get((x, y))
        if start is not None:
            loop = path[start:]
            del path[start:]
            for point in loop:
                del place[point]
            rings.append([[*point] for point in loop])
        place[x, y] = len(path)
        path.append((x, y))
    rings.append([[*point] for point in path])
    return rings


def _by_size(rings: Sequence[Ring]) -> list[Ring]:
    return sorted(rings, key=_area, reverse=True)


def _area(ring: Ring) -> float:
    twice = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(ring, [*ring[1:], ring[0]], strict=True))
    return abs(twice) / 2


def _closed(ring: Ring) -> Ring:
    return [*ring, ring[0]]
