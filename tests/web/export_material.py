"""Masks that the page's exports are tested with, and the files that the page writes of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

HERE = Path(__file__).parent
HEIGHT, WIDTH = 300, 400

Mask = NDArray[np.bool_]


def export_masks() -> dict[str, Mask]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    disc = (x - 120) ** 2 + (y - 110) ** 2 < 80**2
    hole = (x - 130) ** 2 + (y - 100) ** 2 < 30**2
    return {
        "ring": disc & ~hole,
        "two parts": disc | ((x - 320) ** 2 + (y - 220) ** 2 < 50**2),
        "to the edges": (x < 90) & (y > 200) | (x > 350),
        "everything": np.ones((HEIGHT, WIDTH), bool),
    }


def _kept(mask: Mask, label: str, number: int) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    answered = {
        "score": 0.9,
        "area": int(mask.sum()),
        "bbox": [int(side) for side in coco_mask.toBbox(rle)],
        "rle": {"size": rle["size"], "counts": rle["counts"].decode()},
    }
    return {"id": number, "label": label, "colour": "#ff8c1a", "step": {"masks": [answered], "chosen": 0}}


def write_exports(folder: Path) -> None:
    """Write a folder per format, with the file of two pictures of the same name and one without objects."""
    objects = [_kept(mask, "a/b: “x”" if index else "dog", index) for index, mask in enumerate(export_masks().values())]
    size = {"width": WIDTH, "height": HEIGHT}
    pictures = [
        {"name": "photo.jpg", **size, "objects": objects},
        {"name": "empty.jpg", **size, "objects": []},
        {"name": "photo.png", **size, "objects": [_kept(next(iter(export_masks().values())), "cat", 9)]},
    ]
    command = ["node", str(HERE / "write_exports.mjs"), str(folder)]
    subprocess.run(command, input=json.dumps(pictures), text=True, check=True, timeout=600)
