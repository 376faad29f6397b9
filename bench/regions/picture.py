"""The picture of docs/regions.md: small things as the whole image outlines them, and as `auto` does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from bench.regions.asking import WAIT, Asking, click, pixels
from bench.regions.quality import Clicked
from bench.shown import ROOT

REGIONS_PICTURE = ROOT / "docs/pictures/regions.jpg"

SIDE = 260
"""Pixels of a panel's side."""

GAP = 8
QUALITY = 80
_COLOUR = np.array([255, 40, 200], np.float32)
_SHOWN = (60, 90, 130, 200)
"""Sides of the things that are shown, one of each."""


def draw_regions(service: Asking, picture: Clicked, file: Path) -> None:
    """Draw the mask of one click on one thing of each size: above by the whole image, below by `auto`."""
    columns = []
    for side in _SHOWN:
        of_side = [one for one in picture.clicks if one.thing.side == side and one.region is not None]
        if not of_side:
            continue
        thing = sorted(of_side, key=lambda one: one.auto - one.whole)[len(of_side) // 2].thing
        prompt = click(thing.point)
        answers = (service.ask(picture.image_id, prompt), service.ask(picture.image_id, prompt, "auto", wait=WAIT))
        x0, y0, x1, y1 = thing.crop(2.2, picture.scene.size)
        columns.append(
            [_panel(picture.scene.rgb[y0:y1, x0:x1], pixels(answer.best)[y0:y1, x0:x1]) for answer in answers]
        )
    whole = Image.new("RGB", (len(columns) * (SIDE + GAP) - GAP, 2 * SIDE + GAP), "white")
    for number, panels in enumerate(columns):
        for row, panel in enumerate(panels):
            whole.paste(panel, (number * (SIDE + GAP), row * (SIDE + GAP)))
    whole.save(file, quality=QUALITY, optimize=True)


def _panel(rgb: NDArray[np.uint8], mask: NDArray[np.bool_]) -> Image.Image:
    """A part of the picture, enlarged, with the mask in colour and its outline."""
    high = np.asarray(Image.fromarray(rgb).resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
    inside = np.asarray(Image.fromarray(mask).resize((SIDE, SIDE), Image.Resampling.NEAREST))
    outline = inside & ~ndimage.binary_erosion(inside, iterations=2)
    share = np.where(outline, 1.0, np.where(inside, 0.35, 0.0))[..., None]
    return Image.fromarray(np.clip(high * (1 - share) + _COLOUR * share, 0, 255).astype(np.uint8))
