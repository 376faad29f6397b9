"""Writes `vectors.json`: results of the service's own modules, for the tests of the browser's decoder.

Run it from the repository root, `python -m tests.web.local.make_vectors`, after adding an input here.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.low_res import low_res_logits
from prompt_api.masks.rle import encode_rle
from prompt_api.models.interface import Prompt
from prompt_api.models.sam1.boundary import mask_runs
from prompt_api.models.sam1.decoder import sparse_prompt
from prompt_api.models.sam1.network import NETWORK
from prompt_api.models.two_way.onnx_decoder import arranged
from prompt_api.models.two_way.onnx_image import OnnxImage
from prompt_api.service.prompts import to_decoder_frame
from prompt_api.wire.requests import parse_prompt
from shared.contract.geometry import Size
from shared.contract.models import SAM1

HERE = Path(__file__).parent

SIZES: tuple[Size, ...] = (
    (1, 1),
    (1200, 1800),
    (1800, 1200),
    (1024, 1024),
    (480, 640),
    (37, 1000),
    (5000, 3),
    (333, 1023),
    (1023, 334),
    (3000, 4000),
)

HILLS: tuple[dict[str, int], ...] = (
    {"x": 90, "y": 70, "height": 2000, "noise": 0, "seed": 0},
    {"x": 128, "y": 100, "height": 5000, "noise": 3000, "seed": 7},
    {"x": 40, "y": 30, "height": 100_000, "noise": 0, "seed": 0},
    {"x": 40, "y": 30, "height": -1, "noise": 0, "seed": 0},
    {"x": 250, "y": 170, "height": 0, "noise": 60_000, "seed": 3},
)
"""Forms of low-res logits, as whole numbers, so that every language computes the same."""

REGIONS = ((0, 0, 512, 512), (400, 300, 1100, 690), (1600, 1000, 1800, 1200))

PROMPTS: tuple[dict[str, Any], ...] = (
    {"points": [[500, 375]], "labels": [1]},
    {"points": [[0, 0], [17.25, 1199.999], [-3.5, 2000.1]], "labels": [1, 0, 1]},
    {"box": [10.1, 20.2, 300.3, 400.4]},
    {"points": [[33.3, 66.6]], "labels": [0], "box": [0, 0, 1800, 1200]},
    {"points": [[500, 375], [0, 0]], "labels": [1, -1]},
    {"points": [[500, 375], [900, 800], [100, 200]], "labels": [1, 2, 3]},
    {"mask_token": "x"},
)


def hill(form: dict[str, int]) -> NDArray[np.float32]:
    """(256, 256) float32."""
    y, x = np.mgrid[:256, :256].astype(np.int64)
    value = form["height"] - (x - form["x"]) ** 2 - 2 * (y - form["y"]) ** 2
    if form["noise"]:
        mixed = (x * 73_856_093 % 2**32) ^ (y * 19_349_663 % 2**32) ^ form["seed"]
        value += mixed % (2 * form["noise"] + 1) - form["noise"]
    return (value / 32).astype(np.float32)


def vectors() -> dict[str, Any]:
    return {
        "masks": [_mask(size, form) for size in SIZES for form in HILLS],
        "in_region": [_in_region(form, region) for form in HILLS for region in REGIONS],
        "prompts": [_prompt(size, fields) for size in ((1200, 1800), (1801, 1203)) for fields in PROMPTS],
        "visible": [{"size": list(size), "area": _visible_area(size)} for size in SIZES],
        "arranged": [_arranged(area) for area in ((64, 64), (43, 64), (64, 5))],
        "float16": _digest(np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)),
    }


def _mask(size: Size, form: dict[str, int]) -> dict[str, Any]:
    runs = mask_runs(hill(form), size)
    counts = encode_rle(runs)["counts"]
    return {
        "size": list(size),
        "hill": form,
        "area": runs.area,
        "bbox": list(runs.bbox),
        "counts": hashlib.sha256(counts.encode()).hexdigest(),
        "given": _digest(low_res_logits(runs, SAM1.frame, 256, size, (0, 0))),
    }


def _in_region(form: dict[str, int], region: tuple[int, int, int, int]) -> dict[str, Any]:
    x0, y0, x1, y1 = region
    size = (1200, 1800)
    logits = low_res_logits(mask_runs(hill(form), size), SAM1.frame, 256, (y1 - y0, x1 - x0), (x0, y0))
    return {"size": list(size), "hill": form, "region": list(region), "logits": _digest(logits)}


def _prompt(size: Size, fields: dict[str, Any]) -> dict[str, Any]:
    prompt: Prompt = to_decoder_frame(parse_prompt(fields), SAM1.frame, size, None)
    points, labels = sparse_prompt(prompt)
    return {
        "size": list(size),
        "prompt": fields,
        "points": points.reshape(-1).astype(float).tolist(),
        "labels": labels.tolist(),
    }


def _visible_area(size: Size) -> list[int]:
    image: Any = OnnxImage(NETWORK, {}, SAM1.frame.inside(size), lambda *_: image)
    return list(image.visible)


def _arranged(area: Size) -> dict[str, Any]:
    count = 16 * area[0] * area[1]
    logits = np.arange(1, count + 1, dtype=np.float32)[None]
    return {"area": list(area), "frame": _digest(arranged(NETWORK, logits, area))}


def _digest(array: NDArray[np.float32]) -> str:
    return hashlib.sha256(array.astype("<f4").tobytes()).hexdigest()


if __name__ == "__main__":
    (HERE / "vectors.json").write_text(json.dumps(vectors(), indent=1) + "\n")
