"""Makes the input of SAM's image encoder from the resized image: normalise, then zero-pad to the frame."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from shared.contract.models import Model, PixelStatistics


def normalise_and_pad(rgb: NDArray[np.uint8], model: Model) -> NDArray[np.float32]:
    """The input of the image encoder.

    The padding, right and below, is zero after normalising, which is the mean colour.
    Source: segment_anything.modeling.Sam.preprocess.

    Args:
        rgb: (H, W, 3) uint8 with H, W <= side, as the model's `encoder_frame` resizes it.

    Returns:
        (1, 3, side, side) float32, side being that of the `encoder_frame`.
    """
    height, width, _ = rgb.shape
    side = model.encoder_frame.side
    frame = np.zeros((1, 3, side, side), dtype=np.float32)
    for channel, normalised in enumerate(_normalised(model.pixels)):
        frame[0, channel, :height, :width] = normalised[rgb[:, :, channel]]
    return frame


@cache
def _normalised(pixels: PixelStatistics) -> NDArray[np.float32]:
    """(3, 256) float32: every value that a channel can have, normalised. A look-up is exact and the fastest way."""
    mean, std = (np.array(values, dtype=np.float32)[:, None] for values in (pixels.mean, pixels.std))
    table: NDArray[np.float32] = (np.arange(256, dtype=np.float32) - mean) / std
    return table
