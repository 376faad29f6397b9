"""Pillow's resize of a picture, made by the device: a candidate, to see whether a card would do it for the host.

No worker uses it. `bench.card` says on the card at hand how long it takes and how far it is from Pillow.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from shared.contract.geometry import Size


def resized(rgb: Tensor, size: Size) -> Tensor:
    """Resize bilinearly, with antialiasing, as Pillow does: first along rows, then along columns, rounded each time.

    Source: Pillow's ImagingResample (src/libImaging/Resample.c), whose weights have 22 bits; these have 24.

    Args:
        rgb: (H, W, 3) uint8.
        size: (height, width) of the result.

    Returns:
        (height, width, 3) uint8.
    """
    height, width = size
    planes = rgb.permute(2, 0, 1)[None].float()
    for step in ((rgb.shape[0], width), (height, width)):
        planes = functional.interpolate(planes, size=step, mode="bilinear", antialias=True)
        planes = (planes + 0.5).floor().clamp(0, 255)
    return planes[0].permute(1, 2, 0).to(torch.uint8).contiguous()
