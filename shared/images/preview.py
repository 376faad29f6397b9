"""A small JPEG of a picture that browsers do not show, or show too dark, so that a page can show it."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.images.formats.structure import format_of, read_structure

LONGEST_SIDE = 2048
"""Pixels of a preview's longer side, at most. The page draws no larger picture unless a person zooms in."""

_QUALITY = 90
_NOT_SHOWN = frozenset({"TIFF", "HEIC"})


def wants_preview(data: bytes) -> bool:
    """Return whether some browsers cannot show a file as the service sees it. `data` was accepted before."""
    name = format_of(data)
    return name in _NOT_SHOWN or (name == "PNG" and read_structure(data).parts.stretched)


def preview_of(picture: NDArray[np.uint8] | Image.Image) -> bytes:
    """Return the upright pixels as a JPEG whose longer side has at most `LONGEST_SIDE` pixels.

    Args:
        picture: (H, W, 3) uint8, or Pillow's of mode RGB. Not changed.
    """
    image = picture.copy() if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BOX, reducing_gap=1.0)
    file = BytesIO()
    image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
