"""The byte ranges of a file that hold its pixels, and the limit on how many parts of a file are read."""

from __future__ import annotations

from dataclasses import dataclass

from shared.contract.geometry import Size
from shared.images.formats.bands import Bands

MAX_PARTS = 100_000
"""Most segments or chunks that are read from one file, to bound the time. With libpng's 8 KiB chunks that is 800 MB."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a file that matter.

    A decoder gets `head`, then the essential ranges, then `tail`.

    Attributes:
        stored: (height, width) as the decoder gives it, before `turned` or the EXIF orientation is applied.
        essential: (start, stop) of the byte ranges that decide the pixels, in order, without metadata.
        exif: the TIFF structure that holds the orientation, or empty.
        bit_depth: bits per sample.
        turned: the orientation that the container itself states, 1 to 8; None if EXIF decides.
        head: bytes that replace the start of the file.
        tail: bytes that stand in for its end.
        ended: False if the file has no end marker. Then only decoding tells whether its pixels are whole.
        scans: how many scans a JPEG has.
        stretched: True if the samples have no fixed white, so that the least becomes 0 and the greatest 255.
        bands: the rows of samples of more than 8 bits, which are read band by band; None if a decoder reads the file.
        piece_bytes: of one unpacked strip of a TIFF, or one row of its tiles. A decoder takes memory for a whole one.
    """

    stored: Size
    essential: tuple[tuple[int, int], ...]
    exif: bytes = b""
    bit_depth: int = 8
    turned: int | None = None
    head: bytes = b""
    tail: bytes = b""
    ended: bool = True
    scans: int = 1
    stretched: bool = False
    bands: Bands | None = None
    piece_bytes: int = 0
