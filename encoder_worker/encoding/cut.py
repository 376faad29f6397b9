"""Cuts a region out of a decoded picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.contract.errors import EncodeFailed
from shared.contract.region import Region


def cut(rgb: NDArray[np.uint8], region: Region) -> NDArray[np.uint8]:
    """Return a copy of the region's pixels: what a program that crops the picture by hand gives to `SamPredictor`.

    What is done to the picture as a whole comes before: the EXIF orientation, the white behind transparent pixels, the
    stretching of samples of more than 8 bits. What belongs to one model comes after, so that it sees the region alone:
    the stretching of `pixels = "minmax"` and the resizing. micro-sam does the same with its tiles: it takes the least
    and the greatest number of each tile (`micro_sam.util.precompute_image_embeddings` with a `tile_shape`).

    Args:
        rgb: (H, W, 3) uint8, the whole upright picture.
        region: in pixels of that picture.

    Returns:
        (y1 - y0, x1 - x0, 3) uint8.

    Raises:
        EncodeFailed: the region is not a part of the picture. No API of this service asks for it.
    """
    if not region.lies_in((rgb.shape[0], rgb.shape[1])):
        raise EncodeFailed(f"the region {region.text} is no part of this {rgb.shape[1]}x{rgb.shape[0]} image")
    return np.array(rgb[region.y0 : region.y1, region.x0 : region.x1], order="C")
