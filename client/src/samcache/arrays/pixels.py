"""Pixels: as a file without loss, and resized to SAM's input frame."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from samcache.arrays.frame import resized_size


def png_of(image: NDArray[np.uint8]) -> bytes:
    """An (H, W, 3) uint8 RGB image as a PNG, which keeps every pixel as it is."""
    file = io.BytesIO()
    # The fastest compression: photos hardly shrink further, and the caller waits.
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()


def resize_longest_side(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An (H, W, 3) uint8 image, resized so that its long side is 1024: bilinear, with antialiasing.

    Source: segment_anything.utils.transforms.ResizeLongestSide.apply_image, which resizes with Pillow too.
    """
    height, width = resized_size((image.shape[0], image.shape[1]))
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
