"""The types of post-processing: the formats of a mask, and an encoded mask."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class MaskFormat(StrEnum):
    """How a mask is written in an answer."""

    RLE = "rle"  # {"size": [H, W], "counts": "…"}: COCO compressed RLE, column-major
    PNG = "png"  # base64 of a 1-bit greyscale PNG of H x W
    POLYGONS = "polygons"  # [{"outer": [[x, y], …], "holes": [[[x, y], …], …]}, …]
    LOGITS = "logits"  # base64 of little-endian float16, 256x256


@dataclass(frozen=True, slots=True)
class EncodedMask:
    """One mask, ready for JSON.

    Attributes:
        area: pixels of the original that the mask covers.
        bbox: (x, y, width, height) of those pixels; all 0 for an empty mask.
        payload: the mask in the format asked for, JSON-serialisable.
    """

    area: int
    bbox: tuple[int, int, int, int]
    payload: Any
