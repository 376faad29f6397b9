"""Makes the input of the image encoder from the resized image: normalise, then zero-pad to 1024x1024."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.models import IMAGE_SIZE, PIXEL_MEAN, PIXEL_STD

# A channel has only 256 different values, so a table is both exact and the fastest way.
_MEAN, _STD = (np.array(values, dtype=np.float32)[:, None] for values in (PIXEL_MEAN, PIXEL_STD))
_NORMALISED = (np.arange(256, dtype=np.float32) - _MEAN) / _STD


def normalise_and_pad(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The input of SAM's image encoder.

    The padding, right and below, is zero after normalising, which is the mean colour.
    Source: segment_anything.modeling.Sam.preprocess.

    Args:
        rgb: (H, W, 3) uint8 with H, W <= 1024, as `shared.images.resize_longest_side` gives it.

    Returns:
        (1, 3, 1024, 1024) float32.
    """
    height, width, _ = rgb.shape
    frame = np.zeros((1, 3, IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32)
    for channel in range(3):
        frame[0, channel, :height, :width] = _NORMALISED[channel][rgb[:, :, channel]]
    return frame
