"""Writes `vectors/rle.json`: masks as pycocotools encodes them, for the tests of the page's own decoder.

Run it from the repository root, `python tests/web/make_vectors.py`, after adding a mask here.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

Mask = NDArray[np.uint8]


def _masks() -> dict[str, Mask]:
    random = np.random.default_rng(7)
    y, x = np.mgrid[:90, :120]
    ellipse = ((x - 70) / 40) ** 2 + ((y - 40) / 30) ** 2 < 1
    ring = ellipse & (((x - 66) / 20) ** 2 + ((y - 44) / 12) ** 2 > 1)
    tall = np.zeros((3000, 2), np.uint8)
    tall[5:2990, 1] = 1
    return {
        "one background pixel": np.zeros((1, 1), np.uint8),
        "one mask pixel": np.ones((1, 1), np.uint8),
        "empty": np.zeros((4, 6), np.uint8),
        "full": np.ones((4, 6), np.uint8),
        "first pixel only": np.eye(5, 3, dtype=np.uint8) * (np.arange(5)[:, None] == 0),
        "a run over the end of a column": np.array([[0, 1, 1], [1, 1, 0]], np.uint8),
        "checkerboard": np.indices((5, 7)).sum(axis=0).astype(np.uint8) % 2,
        "noise": random.integers(0, 2, (9, 11), dtype=np.uint8),
        "ring": ring.astype(np.uint8),
        "runs of thousands": tall,
    }


def _runs(mask: Mask) -> list[int]:
    """Run lengths down the columns, background first, computed from the definition without pycocotools."""
    cells = mask.flatten(order="F")
    changes = np.flatnonzero(np.diff(cells)) + 1
    lengths = np.diff(np.concatenate([[0], changes, [cells.size]])).tolist()
    return [0, *lengths] if cells[0] else lengths


def vectors() -> list[dict[str, object]]:
    """One entry per mask: name, [height, width], compressed counts, run lengths."""
    return [
        {
            "name": name,
            "size": list(mask.shape),
            "counts": coco.encode(np.asfortranarray(mask))["counts"].decode(),
            "runs": _runs(mask),
        }
        for name, mask in _masks().items()
    ]


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(vector) for vector in vectors())
    Path(__file__).with_name("vectors").joinpath("rle.json").write_text(f"[\n{lines}\n]\n")
