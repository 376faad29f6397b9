"""Masks that clients send, as runs."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

from prompt_api.masks.runs import ColumnRuns, odd_ones, runs_between
from shared.contract.errors import RequestError
from shared.contract.geometry import MAX_SIDE, Size
from shared.images.formats.png import read_png

_MOST_CHARACTERS = 7
"""Characters of one run length: 35 bits. The difference of two lengths of the largest image has 33."""

_MODES = ("1", "L", "P", "I;16")
"""Pillow's modes of PNGs that are masks: grey of 1 to 16 bits, and palettes. None takes more than 2 bytes a pixel."""

_STRIP_PIXELS = 1 << 22
"""Pixels of a PNG that are searched for changes at once. This limits the memory."""

Ints = NDArray[np.int64]


class GivenMask(Protocol):
    """A mask from a client."""

    @property
    def size(self) -> Size:
        """(height, width)."""
        ...

    def runs(self) -> ColumnRuns:
        """Return the mask's runs.

        Raises:
            ValueError: it is broken. The text says how.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class KnownMask:
    """A mask whose runs are known."""

    known: ColumnRuns

    @property
    def size(self) -> Size:
        return self.known.size

    def runs(self) -> ColumnRuns:
        return self.known


@dataclass(frozen=True, slots=True)
class RleMask:
    """A mask in COCO's compressed run-length encoding.

    Attributes:
        size: (height, width).
        counts: as pycocotools writes them.
    """

    size: Size
    counts: str

    def runs(self) -> ColumnRuns:
        height, width = self.size
        try:
            lengths = _lengths(self.counts.encode("ascii"))
        except UnicodeEncodeError:
            raise ValueError("the rle has characters that no rle has") from None
        if lengths.min(initial=0) < 0 or lengths.max(initial=0) > height * width or lengths.sum() != height * width:
            raise ValueError(f"the runs of the rle do not fill {width}x{height} pixels")
        # A mask begins or ends after each run but the last. Between two runs of no distance it does neither.
        ends = np.cumsum(lengths)
        changes = odd_ones(ends[: len(ends) // 2 * 2])
        return _between(changes[::2], changes[1::2], self.size)


@dataclass(frozen=True, slots=True)
class PngMask:
    """A mask as a PNG: grey or with a palette. Pixels that are 0 are outside, all others inside."""

    png: bytes
    size: Size

    @classmethod
    def read(cls, png: bytes) -> PngMask:
        """Check the file's structure and read its size, without decoding it.

        Raises:
            ValueError: it is not such a PNG.
        """
        try:
            size = read_png(png).stored
        except RequestError as error:
            raise ValueError(error.detail) from None
        except struct.error:
            raise ValueError("the PNG is truncated") from None
        if not (0 < size[0] <= MAX_SIDE and 0 < size[1] <= MAX_SIDE):
            raise ValueError("the PNG has no pixels, or too long a side")
        return cls(png, size)

    def runs(self) -> ColumnRuns:
        height, width = self.size
        changes = []
        try:
            image = PngImageFile(BytesIO(self._essential()))
            if image.mode not in _MODES:
                raise ValueError("a mask is a grey PNG or one with a palette, without transparency")
            image.load()
            above = np.zeros((1, width), dtype=bool)
            rows = max(1, _STRIP_PIXELS // width)
            for top in range(0, height, rows):
                strip = np.asarray(image.crop((0, top, width, min(top + rows, height)))) != 0
                y, x = np.nonzero(strip != np.concatenate([above, strip[:-1]]))
                changes.append(x * (height + 1) + y + top)
                above = strip[-1:]
        except (OSError, SyntaxError, EOFError, struct.error) as error:
            raise ValueError(f"the PNG cannot be decoded: {error}") from None
        changes.append(np.flatnonzero(above) * (height + 1) + height)
        return runs_between(np.sort(np.concatenate(changes)), self.size)

    def _essential(self) -> bytes:
        """Return the file without the chunks that say nothing about the pixels: they may be large when unpacked."""
        return b"".join(self.png[start:end] for start, end in read_png(self.png).essential)


def _lengths(text: bytes) -> Ints:
    """Return the lengths of alternating runs of background and mask.

    A character, less 48, holds 5 bits of a number, the lowest first. Its bit 5 says that another character of the same
    number follows. Bit 4 of a number's last character is the sign. From the fourth number on, each is the difference to
    the length two places before.

    Source: rleFrString in common/maskApi.c of cocodataset/cocoapi.
    """
    characters = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if not characters.size:
        return np.zeros(0, np.int64)
    if characters.min() < 0 or characters.max() > 63:
        raise ValueError("the rle has characters that no rle has")
    last = np.flatnonzero((characters & 32) == 0)
    if not last.size or last[-1] != characters.size - 1:
        raise ValueError("the rle ends inside a number")
    first = np.concatenate([[0], last[:-1] + 1])
    digits = last - first + 1
    if digits.max() > _MOST_CHARACTERS:
        raise ValueError("the rle has a number that no run can have")
    place = np.arange(characters.size) - np.repeat(first, digits)
    values = np.add.reduceat((characters & 31) << (5 * place), first)
    values -= np.where(characters[last] & 16, np.int64(1) << (5 * digits), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return np.asarray(values)


def _between(start: Ints, stop: Ints, size: Size) -> ColumnRuns:
    """Return the runs of a mask that covers the places from start to stop, column after column."""
    height = size[0]
    column, last = start // height, (stop - 1) // height
    count = last - column + 1
    run = np.repeat(np.arange(len(start)), count)
    x = np.arange(len(run)) + np.repeat(column - np.cumsum(count) + count, count)
    top = np.maximum(start[run] - x * height, 0)
    return ColumnRuns(size, x, top, np.minimum(stop[run] - x * height, height))
