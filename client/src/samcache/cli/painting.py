"""Paints a mask and its prompt over their photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

_TINT = (0, 160, 255)
_OPACITY = 0.5
_FOREGROUND, _BACKGROUND = (40, 200, 80), (255, 60, 60)

Point = Sequence[float]
"""(x, y) in pixels."""


def paint(
    photo: Image.Image,
    mask: NDArray[np.bool_],
    *,
    foreground: Sequence[Point] = (),
    background: Sequence[Point] = (),
    box: Sequence[float] | None = None,
) -> Image.Image:
    """The photo with `mask` tinted and outlined, and the prompt marked.

    Args:
        photo: W x H pixels, EXIF orientation applied.
        mask: (H, W).
        foreground: points on the object.
        background: points that are not on it.
        box: (x0, y0, x1, y1).
    """
    base = photo.convert("RGB")
    area = Image.fromarray(mask)
    picture = Image.composite(Image.blend(base, Image.new("RGB", base.size, _TINT), _OPACITY), base, area)
    width = max(1, round(max(photo.size) / 400))
    filled = area.convert("L")
    outline = np.asarray(filled.filter(ImageFilter.MaxFilter(2 * width + 1))) != np.asarray(filled)
    picture.paste(_TINT, mask=Image.fromarray(outline))
    draw = ImageDraw.Draw(picture)
    if box is not None:
        draw.rectangle(tuple(box), outline=_FOREGROUND, width=width)
    radius = 3 * width
    for points, colour in ((foreground, _FOREGROUND), (background, _BACKGROUND)):
        for x, y in points:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour, outline="white", width=width)
    return picture
