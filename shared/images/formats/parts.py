"""The byte ranges of a file that hold its pixels, and the limit on how many parts of a file are read."""

from __future__ import annotations

from dataclasses import dataclass

from shared.contract.geometry import Size

MAX_PARTS = 100_000
"""Most segments or chunks that are read from one file, to bound the time. With libpng's 8 KiB chunks that is 800 MB."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a file that matter.

    Attributes:
        stored: (height, width) as stored, before the EXIF orientation.
        essential: (start, stop) of the byte ranges that decide the pixels, in order, without metadata.
        exif: the TIFF structure that holds the orientation, or empty.
        bit_depth: bits per sample.
    """

    stored: Size
    essential: tuple[tuple[int, int], ...]
    exif: bytes = b""
    bit_depth: int = 8
