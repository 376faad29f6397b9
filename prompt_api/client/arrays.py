"""Numpy arrays from what the service answers, and back. No torch, no pycocotools."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prompt_api.client.errors import UnexpectedAnswer
from prompt_api.masks.axis import resize_axis
from shared.contract.geometry import Size, resized_size
from shared.contract.models import EMBEDDING_SHAPE, IMAGE_SIZE, LOW_RES_SIZE

_FLOAT16_MAX = float(np.finfo(np.float16).max)
_LONGEST = 8  # characters of a run's length but the last: 45 bits
_BAND = 256
"""Rows of a full-size resize done at once: bounds the memory beside the result."""


def mask_of_rle(rle: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The mask, (H, W) bool, of a COCO compressed RLE `{"size": [H, W], "counts": "…"}`.

    Source: rleFrString of cocodataset/cocoapi, common/maskApi.c. Runs go down the columns, the first is background.

    Raises:
        UnexpectedAnswer: it is no RLE, or its runs do not fill the size.
    """
    try:
        height, width = (int(side) for side in rle["size"])
        counts = _counts(str(rle["counts"]).encode("ascii"))
    except (ValueError, TypeError, LookupError) as error:
        raise UnexpectedAnswer(f"a mask is no run-length encoding: {error}") from error
    if counts.min(initial=0) < 0 or counts.sum() != height * width:
        raise UnexpectedAnswer(f"a mask's runs do not fill {width}x{height} pixels")
    columns = np.repeat(np.arange(counts.size) % 2 == 1, counts).reshape(width, height)
    return np.ascontiguousarray(columns.T)


def _counts(text: bytes) -> NDArray[np.int64]:
    """Run lengths: groups of 5 bits, low first, bit 5 of a character says that more follow, the last one's bit 4 the
    sign; from the fourth on, each is a difference to the one two before.
    """
    characters = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if not characters.size:
        return np.zeros(0, np.int64)
    ends = np.flatnonzero(~characters & 32)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if not ends.size or ends[-1] != characters.size - 1 or (ends - starts).max() > _LONGEST:
        raise ValueError("a run does not end")
    position = np.arange(characters.size) - np.repeat(starts, ends - starts + 1)
    values = np.add.reduceat((characters & 31) << (5 * position), starts)
    values -= np.where(characters[ends] & 16, 1 << (5 * (ends - starts + 1)), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return np.asarray(values, np.int64)


def logits_of(text: str) -> NDArray[np.float32]:
    """(256, 256) float32 of the contract's base64 of little-endian float16."""
    raw = base64.b64decode(text, validate=True)
    return np.frombuffer(raw, "<f2").astype(np.float32).reshape(LOW_RES_SIZE, LOW_RES_SIZE)


def logits_text(logits: NDArray[np.float32]) -> str:
    """The contract's base64 of (256, 256) logits, rounded to float16 and held to its finite range."""
    return base64.b64encode(logits.clip(-_FLOAT16_MAX, _FLOAT16_MAX).astype("<f2").tobytes()).decode("ascii")


def full_size_logits(logits: NDArray[np.float32], original: Size) -> NDArray[np.float32]:
    """Low-res logits (K, 256, 256) at the size of the original, (K, H, W) float32: what is above 0 is the mask.

    Source: segment_anything.modeling.Sam.postprocess_masks: 256 → 1024, crop the padding, → original size, both
    bilinear without align_corners, in torch's own float32 operations.
    """
    frame = resized_size(original)
    full = np.empty((len(logits), *original), np.float32)
    for one, target in zip(logits, full, strict=True):
        padded = np.empty((IMAGE_SIZE, IMAGE_SIZE), np.float32)
        _resize(one, padded)
        _resize(padded[: frame[0], : frame[1]], target)
    return full


def _resize(source: NDArray[np.float32], target: NDArray[np.float32]) -> None:
    rows, columns = (resize_axis(inputs, outputs) for inputs, outputs in zip(source.shape, target.shape, strict=True))
    upper = np.minimum(columns.lower + 1, source.shape[1] - 1)
    across = _mix(source[:, columns.lower], source[:, upper], columns.weight)
    for start in range(0, len(target), _BAND):
        band = slice(start, start + _BAND)
        lower = rows.lower[band]
        below = np.minimum(lower + 1, len(source) - 1)
        target[band] = _mix(across[lower], across[below], rows.weight[band, None])


def _mix(lower: NDArray[np.float32], upper: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    mixed: NDArray[np.float32] = lower * (np.float32(1) - weight) + upper * weight
    return mixed


def embedding_of(npy: bytes) -> NDArray[np.float32]:
    """The image embedding (1, 256, 64, 64) float32 of a `.npy` file.

    Raises:
        UnexpectedAnswer: it is something else.
    """
    try:
        array = np.load(io.BytesIO(npy), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UnexpectedAnswer(f"the embedding is no .npy file ({error})") from error
    if not isinstance(array, np.ndarray) or array.shape != EMBEDDING_SHAPE:
        raise UnexpectedAnswer("the embedding has another shape than SAM's")
    return array.astype(np.float32)


def png_of(image: NDArray[np.uint8]) -> bytes:
    """An (H, W, 3) uint8 RGB image as a PNG: its pixels survive the way to the service unchanged."""
    file = io.BytesIO()
    # The fastest deflate: photos hardly shrink further, and the caller waits.
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()
