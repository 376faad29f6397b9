"""Writes `vectors/masks.json`: masks, cleaned by the API and as its polygons, for the tests of the page's twins.

Run it from the repository root, `python -m tests.web.make_mask_vectors`, after a change of either.
"""

from __future__ import annotations

import json
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.cleaning import Cleaning, Keep, clean
from prompt_api.masks.polygons import encode_polygons
from prompt_api.masks.rle import encode_rle
from prompt_api.masks.runs import ColumnRuns

PATH = Path(__file__).with_name("vectors") / "masks.json"

_TOLERANCES = (0, 0.4, 0.75, 1, 1.5, 2, 3.3, 6, 20)
_SIZES = ((1, 1), (1, 9), (7, 1), (6, 6), (9, 14), (23, 17))
_LARGE = (60, 44)
_CLEANINGS = (
    Cleaning(fill_holes=1),
    Cleaning(fill_holes=12),
    Cleaning(remove_specks=1),
    Cleaning(fill_holes=4, remove_specks=9),
    Cleaning(remove_specks=10_000),
    Cleaning(keep=Keep.LARGEST),
    Cleaning(fill_holes=10_000, keep=Keep.LARGEST),
    Cleaning(keep=Keep.CLICKED),
    Cleaning(fill_holes=6, remove_specks=6, keep=Keep.CLICKED),
)


def vectors() -> list[dict[str, Any]]:
    """One entry per mask: `rle`; `polygons` by tolerance; `cleaned`, each with its options and the `rle` after it."""
    random = np.random.default_rng(20)
    return [_vector(mask, random) for mask in _masks(random)]


def _masks(random: np.random.Generator) -> list[NDArray[np.bool_]]:
    """Masks from single noisy pixels to large blobs, and two drawn ones whose rings touch."""
    masks = [_blobs(random, size, smooth) for size in _SIZES for smooth in (0, 1, 2, 4)]
    masks += [_blobs(random, _LARGE, smooth) for smooth in (1, 2, 3, 5)]
    masks += [np.indices((6, 7)).sum(axis=0) % 2 == 0, np.zeros((4, 5), bool), np.ones((4, 5), bool)]
    touching = np.ones((9, 9), bool)
    touching[[2, 3, 5, 6], [2, 3, 5, 6]] = False
    touching[0, 4] = touching[1, 5] = touching[8, 0] = touching[7, 1] = False
    return [*masks, touching]


def _blobs(random: np.random.Generator, size: tuple[int, int], smooth: int) -> NDArray[np.bool_]:
    """Whole numbers are summed, so that every machine makes the same mask."""
    field = random.integers(-1000, 1000, size)
    for _ in range(smooth):
        padded = np.pad(field, 1, mode="edge")
        field = sum(padded[y : y + size[0], x : x + size[1]] for y in range(3) for x in range(3))
    return np.asarray(field > np.quantile(field, random.choice([0.3, 0.5, 0.7]), method="lower"))


def _vector(mask: NDArray[np.bool_], random: np.random.Generator) -> dict[str, Any]:
    height, width = mask.shape
    runs = _runs(mask)
    clicks = [[round(float(random.uniform(-2, side + 2)), 2) for side in (width, height)] for _ in range(3)]
    counts = cycle((1, 2, 0, 3))
    return {
        "rle": encode_rle(runs),
        "polygons": {str(tolerance): encode_polygons(runs, tolerance) for tolerance in _TOLERANCES},
        "cleaned": [_cleaned(runs, cleaning, clicks[: next(counts)]) for cleaning in _CLEANINGS],
    }


def _cleaned(runs: ColumnRuns, cleaning: Cleaning, clicks: list[list[float]]) -> dict[str, Any]:
    cleaned = clean(runs, cleaning, np.array(clicks).reshape(-1, 2))
    return {
        "fillHoles": cleaning.fill_holes,
        "removeSpecks": cleaning.remove_specks,
        "keep": cleaning.keep.value,
        "points": [{"x": x, "y": y, "label": 1} for x, y in clicks],
        "rle": encode_rle(cleaned),
        "area": cleaned.area,
        "bbox": list(cleaned.bbox),
    }


def _runs(mask: NDArray[np.bool_]) -> ColumnRuns:
    changes = np.diff(np.pad(mask, ((1, 1), (0, 0))).astype(np.int8), axis=0).T
    x, top = np.nonzero(changes == 1)
    _, bottom = np.nonzero(changes == -1)
    return ColumnRuns((mask.shape[0], mask.shape[1]), x, top, bottom)


def text() -> str:
    lines = ",\n".join(json.dumps(vector, separators=(",", ":")) for vector in vectors())
    return f"[\n{lines}\n]\n"


if __name__ == "__main__":
    PATH.write_text(text())
