"""The images of the bench: tiny pictures, all different, made when they are needed."""

from __future__ import annotations

import hashlib
import io
from functools import lru_cache

import numpy as np
from PIL import Image

SIZE = (24, 36)
"""(height, width) in pixels."""


@lru_cache(maxsize=10_000)
def picture(number: int) -> bytes:
    """PNG number `number`: two colours with a slanted border. No two numbers below 2^24 have the same picture."""
    height, width = SIZE
    rows, columns = np.mgrid[:height, :width]
    colour = np.array([number & 255, number >> 8 & 255, number >> 16 & 255], np.uint8)
    rgb = np.where((columns > rows)[..., None], colour, 255 - colour)
    file = io.BytesIO()
    Image.fromarray(rgb.astype(np.uint8)).save(file, "PNG", compress_level=1)
    return file.getvalue()


@lru_cache(maxsize=10_000)
def image_id(number: int) -> str:
    """Lower-case hex SHA-256 of `picture(number)`."""
    return hashlib.sha256(picture(number)).hexdigest()
