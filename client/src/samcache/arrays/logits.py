"""Converts low-res logits to and from the text that is sent, and resizes them to the size of the original image."""

from __future__ import annotations

import base64
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from samcache.arrays.frame import FRAME_SIZE, LOW_RES_SIZE, Size, resized_size

_FLOAT16_MAX = float(np.finfo(np.float16).max)

OUTSIDE = np.float32(-32)
"""The logit of a pixel outside the region that answered. It is the lowest that SAM 2 gives."""

_BAND = 256
"""Rows that a full-size resize makes at once. It bounds the memory needed beside the result."""


def logits_of(text: str) -> NDArray[np.float32]:
    """(256, 256) float32 logits from the contract's text: base64 of little-endian float16."""
    raw = base64.b64decode(text, validate=True)
    return np.frombuffer(raw, "<f2").astype(np.float32).reshape(LOW_RES_SIZE, LOW_RES_SIZE)


def logits_text(logits: NDArray[np.float32]) -> str:
    """The contract's text for (256, 256) logits. They are clipped to float16's finite range and rounded to float16."""
    return base64.b64encode(logits.clip(-_FLOAT16_MAX, _FLOAT16_MAX).astype("<f2").tobytes()).decode("ascii")


def full_size_logits(logits: NDArray[np.float32], original: Size) -> NDArray[np.float32]:
    """Low-res logits (K, 256, 256) at the size of the original image, (K, H, W) float32. What is above 0 is the mask.

    Source: segment_anything.modeling.Sam.postprocess_masks. It resizes 256 → 1024, cuts the padding off, and resizes
    to the original size. Both are bilinear without align_corners, in the same float32 operations as torch.
    """
    height, width = resized_size(original)
    full = np.empty((len(logits), *original), np.float32)
    for one, target in zip(logits, full, strict=True):
        padded = np.empty((FRAME_SIZE, FRAME_SIZE), np.float32)
        _resize(one, padded)
        _resize(padded[:height, :width], target)
    return full


def placed(logits: NDArray[np.float32], region: tuple[int, int, int, int], original: Size) -> NDArray[np.float32]:
    """Logits (K, h, w) of a region at their place in the image, (K, H, W). Around them is `OUTSIDE`.

    Args:
        region: (x0, y0, x1, y1) in pixels of the image.
        original: (height, width) of the image.

    Raises:
        ValueError: the region is not inside the image, or not of the size of the logits.
    """
    x0, y0, x1, y1 = region
    whole = np.full((len(logits), *original), OUTSIDE, np.float32)
    whole[:, y0:y1, x0:x1] = logits
    return whole


def _resize(source: NDArray[np.float32], target: NDArray[np.float32]) -> None:
    """Fill `target` with `source`, resized to its shape."""
    row, row_weight = _axis(source.shape[0], target.shape[0])
    column, column_weight = _axis(source.shape[1], target.shape[1])
    right = np.minimum(column + 1, source.shape[1] - 1)
    across = _mix(source[:, column], source[:, right], column_weight)
    for start in range(0, len(target), _BAND):
        band = slice(start, start + _BAND)
        below = np.minimum(row[band] + 1, len(source) - 1)
        target[band] = _mix(across[row[band]], across[below], row_weight[band, None])


def _mix(first: NDArray[np.float32], second: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    mixed: NDArray[np.float32] = first * (np.float32(1) - weight) + second * weight
    return mixed


@lru_cache(maxsize=16)
def _axis(inputs: int, outputs: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each output along one axis: its first input, and the weight of the input after that one.

    Source: `area_pixel_compute_source_index` of ATen's UpSample kernels, which torch's `interpolate` uses. The same to
    the last bit.
    """
    scale = np.float64(np.float32(inputs) / np.float32(outputs))
    # ATen's float32 kernel multiplies and subtracts in one step and rounds once. So does this: float64 holds the exact
    # product, and only the result is rounded to float32.
    source = (scale * (np.arange(outputs) + 0.5) - 0.5).astype(np.float32).clip(min=0)
    first = np.minimum(source.astype(np.int64), inputs - 1)
    weight = source - first.astype(np.float32)
    weight[first == inputs - 1] = 0  # no input follows the last one
    return first, weight
