"""Masks from COCO's compressed run-length encoding, without pycocotools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samcache.errors import UnexpectedAnswer

_MOST_CHARACTERS = 9
"""Characters of one run length: 45 bits, far more than any run needs and few enough for an int64."""


def mask_of_rle(rle: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The mask, (H, W) bool, of a COCO compressed RLE `{"size": [H, W], "counts": "…"}`.

    The runs go down the columns; the first run is background.

    Raises:
        UnexpectedAnswer: it is not such an RLE, or its runs do not fill the size.
    """
    try:
        height, width = (int(side) for side in rle["size"])
        counts = _counts(str(rle["counts"]).encode("ascii"))
    except (ValueError, TypeError, LookupError) as error:
        raise UnexpectedAnswer(f"a mask is not a run-length encoding: {error}") from error
    if counts.min(initial=0) < 0 or counts.sum() != height * width:
        raise UnexpectedAnswer(f"a mask's runs do not fill {width}x{height} pixels")
    columns = np.repeat(np.arange(counts.size) % 2 == 1, counts).reshape(width, height)
    return np.ascontiguousarray(columns.T)


def counts_of_rle(rle: Mapping[str, Any]) -> list[int]:
    """The lengths of the runs of a COCO compressed RLE, as COCO's uncompressed RLE has them.

    Raises:
        UnexpectedAnswer: it is not such an RLE.
    """
    try:
        return [int(count) for count in _counts(str(rle["counts"]).encode("ascii"))]
    except (ValueError, TypeError, LookupError) as error:
        raise UnexpectedAnswer(f"a mask is not a run-length encoding: {error}") from error


def _counts(text: bytes) -> NDArray[np.int64]:
    """The lengths of the runs.

    A character, less 48, holds 5 bits of a number, the lowest first. Its bit 5 says that another character of the same
    number follows. Bit 4 of a number's last character is the sign. From the fourth number on, each is the difference
    to the length two places before.

    Source: rleFrString in common/maskApi.c of cocodataset/cocoapi.
    """
    characters = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if not characters.size:
        return np.zeros(0, np.int64)
    last = np.flatnonzero(~characters & 32)
    first = np.concatenate([[0], last[:-1] + 1])
    if not last.size or last[-1] != characters.size - 1 or (last - first).max() >= _MOST_CHARACTERS:
        raise ValueError("a run does not end")
    place = np.arange(characters.size) - np.repeat(first, last - first + 1)
    values = np.add.reduceat((characters & 31) << (5 * place), first)
    values -= np.where(characters[last] & 16, 1 << (5 * (last - first + 1)), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return np.asarray(values, np.int64)
