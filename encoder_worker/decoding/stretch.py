"""Stretches each channel of an image to the whole range of its numbers, as models for microscopy were trained."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_STRIP_PIXELS = 1 << 20
"""Pixels that are looked at together. This limits the memory for large images."""

_EPSILON = np.float32(1e-7)


def stretched(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the image with each channel's least number at 0 and its greatest at 255, cut to whole numbers.

    A channel of one number becomes 0.

    Args:
        rgb: (H, W, 3) uint8. Not changed.

    Returns:
        (H, W, 3) uint8.

    Source: the normalisation per channel of micro-sam, in float32: (x - min) / (max - min + 1e-7) * 255.
    """
    height, width, _ = rgb.shape
    rows = max(1, _STRIP_PIXELS // width)
    strips = [slice(top, top + rows) for top in range(0, height, rows)]
    result = np.empty(rgb.shape, dtype=np.uint8)
    for channel in range(3):
        table = _table([rgb[strip, :, channel] for strip in strips])
        for strip in strips:
            result[strip, :, channel] = table[rgb[strip, :, channel]]
    return result


def _table(parts: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Return (256,) uint8: what each number of the channel becomes."""
    least, greatest = min(int(part.min()) for part in parts), max(int(part.max()) for part in parts)
    numbers = np.arange(256, dtype=np.float32).clip(least, greatest) - np.float32(least)
    scaled = numbers / (np.float32(greatest - least) + _EPSILON)
    return np.asarray(scaled * np.float32(255)).astype(np.uint8)
