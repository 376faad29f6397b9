"""Makes the pictures of docs/everything.md from real runs: `python -m tests.documents.take_everything_pictures`.

The photo is the project's own (see NOTICE), and the model is MobileSAM. It takes some minutes.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from bench.shown import ROOT
from deploy.local.photo import PHOTO
from prompt_api.everything.generate import generate
from prompt_api.everything.interface import MaskRecord
from prompt_api.everything.options import EverythingOptions
from prompt_api.models.load import load_decoder
from shared.contract.models import MOBILE_SAM
from shared.contract.settings import Settings
from shared.weights.locate import locate_weights
from tests.support.everything_material import Embedder, source_of

FOLDER = ROOT / "docs/pictures"
QUALITY = 72
GAP = 12  # pixels between two panels
CAPTION = 22  # pixels below each panel

PICTURES: Mapping[str, Sequence[tuple[str, Mapping[str, Any]]]] = {
    "everything-points.jpg": [
        ("points_per_side = 8", {"points_per_side": 8}),
        ("points_per_side = 32, the default", {}),
    ],
    "everything-options.jpg": [
        ("crop_n_layers = 1", {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2}),
        ('mode = "fast"', {"mode": "fast"}),
    ],
}
"""The panels of each picture: a caption, and the options."""

_GOLDEN = 0.618033988749895
_OPACITY = 0.55


def painted(rgb: NDArray[np.uint8], masks: Sequence[MaskRecord]) -> Image.Image:
    """The photo with every mask in a colour of its own, smaller masks over larger ones."""
    canvas = rgb.astype(np.float32)
    for index, mask in enumerate(sorted(masks, key=lambda one: -one.area)):
        pixels = coco.decode({**mask.rle, "counts": mask.rle["counts"].encode()}).astype(bool)
        colour = np.array(colorsys.hsv_to_rgb(index * _GOLDEN % 1, 0.75, 1)) * 255
        canvas[pixels] = rgb[pixels] * (1 - _OPACITY) + colour * _OPACITY
        canvas[_outline(pixels)] = 255
    return Image.fromarray(canvas.astype(np.uint8))


def _outline(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    inner = np.pad(pixels, 1)
    return pixels & ~(inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:])


def beside(panels: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """The panels side by side, each with its caption below."""
    width, height = panels[0][1].size
    both = Image.new("RGB", (len(panels) * (width + GAP) - GAP, height + CAPTION), "white")
    draw = ImageDraw.Draw(both)
    for index, (caption, panel) in enumerate(panels):
        left = index * (width + GAP)
        both.paste(panel, (left, 0))
        draw.text((left + 2, height + 4), caption, fill="black")
    return both


def take_pictures() -> None:
    settings = Settings.from_env()
    embed = Embedder(locate_weights(MOBILE_SAM, settings).folder / "encoder.onnx")
    loaded = load_decoder(MOBILE_SAM, settings)
    with Image.open(PHOTO) as photo:
        rgb = np.asarray(photo.convert("RGB"))
    for name, wanted in PICTURES.items():
        panels = []
        for caption, options in wanted:
            source, given = source_of(rgb, embed, loaded), EverythingOptions.of(options)
            masks = generate(source, given, rgb.shape[:2], report=lambda *_: None, stopped=lambda: False, threads=2)
            panels.append((f"{caption}: {len(masks)} masks", painted(rgb, masks)))
        beside(panels).save(FOLDER / name, quality=QUALITY, optimize=True)


if __name__ == "__main__":
    take_pictures()
