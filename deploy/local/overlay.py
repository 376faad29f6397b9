"""Draws a mask over its photo."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

_TINT = (0, 160, 255)
_OPACITY = 0.5
_DOT = (255, 60, 60)


def mask_of(rle: dict[str, Any]) -> NDArray[np.bool_]:
    """The mask, (H, W) bool, of a COCO compressed RLE `{"size": [H, W], "counts": "…"}`.

    Source: rleFrString of cocodataset/cocoapi, common/maskApi.c. Runs go down the columns, the first is background.
    """
    height, width = rle["size"]
    counts: list[int] = []
    value = shift = 0
    for character in rle["counts"].encode("ascii"):
        group = character - 48
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return flat.reshape(width, height).T


def draw_overlay(photo: Image.Image, mask: NDArray[np.bool_], point: tuple[float, float]) -> Image.Image:
    """The photo with `mask` tinted and outlined and the prompt's point marked.

    Args:
        photo: EXIF-oriented, W x H pixels.
        mask: (H, W).
        point: (x, y) in pixels.
    """
    area = Image.fromarray(mask)
    tinted = Image.blend(photo.convert("RGB"), Image.new("RGB", photo.size, _TINT), _OPACITY)
    picture = Image.composite(tinted, photo.convert("RGB"), area)
    width = max(1, round(max(photo.size) / 400))
    filled = area.convert("L")
    outline = np.asarray(filled.filter(ImageFilter.MaxFilter(2 * width + 1))) != np.asarray(filled)
    picture.paste(_TINT, mask=Image.fromarray(outline))
    x, y = point
    radius = 3 * width
    dot = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(picture).ellipse(dot, fill=_DOT, outline="white", width=width)
    return picture
