"""From the mask decoder's low-res logits to masks as an answer carries them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.interface import EncodedMask, MaskFormat
from prompt_api.masks.png import encode_png
from prompt_api.masks.polygons import encode_polygons
from prompt_api.masks.rle import encode_rle
from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.sam1.boundary import mask_runs
from shared.contract.geometry import Size

_FLOAT16_MAX = float(np.finfo(np.float16).max)


MaskWriter = Callable[[ColumnRuns], Any]
"""Makes the payload of a mask from its runs."""


def encode_masks(logits: NDArray[np.float32], original: Size, form: MaskFormat | MaskWriter) -> list[EncodedMask]:
    """Each mask at the size of the original, exactly as `SamPredictor.predict` thresholds it, in the form asked for.

    Args:
        logits: (K, 256, 256) float32, finite, over the zero-padded 1024 frame. Not changed.
        original: (height, width) of the EXIF-oriented original.
    """
    return [_encode(one, original, form) for one in logits]


def _encode(logits: NDArray[np.float32], original: Size, form: MaskFormat | MaskWriter) -> EncodedMask:
    runs = mask_runs(logits, original)
    if not isinstance(form, MaskFormat):
        return EncodedMask(area=runs.area, bbox=runs.bbox, payload=form(runs))
    payload = encode_logits(logits) if form is MaskFormat.LOGITS else _PAYLOADS[form](runs)
    return EncodedMask(area=runs.area, bbox=runs.bbox, payload=payload)


def encode_logits(logits: NDArray[np.float32]) -> str:
    """Base64 of the (256, 256) logits as little-endian float16, row by row, held to float16's finite range."""
    return base64.b64encode(logits.clip(-_FLOAT16_MAX, _FLOAT16_MAX).astype("<f2").tobytes()).decode("ascii")


def _base64_png(runs: ColumnRuns) -> str:
    return base64.b64encode(encode_png(runs)).decode("ascii")


_PAYLOADS: Mapping[MaskFormat, Callable[[ColumnRuns], Any]] = MappingProxyType(
    {
        MaskFormat.RLE: encode_rle,
        MaskFormat.PNG: _base64_png,
        MaskFormat.POLYGONS: encode_polygons,
    }
)
