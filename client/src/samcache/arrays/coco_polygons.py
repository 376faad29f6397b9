"""Polygons of the contract as COCO's `segmentation`, which knows no holes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def coco_polygons(polygons: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """One flat list x0, y0, x1, y1, … for each polygon. A hole is joined to the rest by a cut of no width.

    Args:
        polygons: `[{"outer": [[x, y], …], "holes": [[[x, y], …], …]}, …]`, as the service answers.
    """
    return [[float(number) for number in _joined(polygon).ravel()] for polygon in polygons]


def _joined(polygon: Mapping[str, Any]) -> NDArray[np.float64]:
    """One ring (N, 2) that goes along the outer ring and each hole, and along each cut there and back."""
    ring = np.asarray(polygon["outer"], np.float64)
    for hole in (np.asarray(hole, np.float64) for hole in polygon["holes"]):
        nearest = int(((ring - hole[0]) ** 2).sum(axis=1).argmin())
        ring = np.concatenate([ring[: nearest + 1], hole, hole[:1], ring[nearest:]])
    return ring
