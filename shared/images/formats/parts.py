"""The byte ranges of a file that hold its pixels, and the limit on how many parts of a file are read."""

from __future__ import annotations

from dataclasses import dataclass

from shared.contract.geometry import Size

MAX_PARTS = 100_000
"""Most segments or chunks that are read from one file, to bound the time. With libpng's 8 KiB chunks that is 800 MB."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a file that matter.

    A decoder gets `head`, then the essential ranges, then one of `tails`.

    Attributes:
        stored: (height, width) as the decoder gives it, before `turned` or the EXIF orientation is applied.
        essential: (start, stop) of the byte ranges that decide the pixels, in order, without metadata.
        exif: the TIFF structure that holds the orientation, or empty.
        bit_depth: bits per sample.
        turned: the orientation that the container itself states, 1 to 8; None if EXIF decides.
        head: bytes that replace the start of the file.
        tails: bytes that stand in for its end. More than one: each gives one channel of the picture.
        bands: Pillow's mode of the picture that those channels make; empty if there is one tail.
        ended: False if the file has no end marker. Then only decoding tells whether its pixels are whole.
        scans: how many scans a JPEG has.
        stretched: True if the samples have no fixed white, so that the least becomes 0 and the greatest 255.
        words: numpy's type of the samples, if the decoder gives their bytes as pixels of 8 bits; else empty.
        channels: samples of each pixel, if `words` is set.
        inverted: True if the least sample is white.
    """

    stored: Size
    essential: tuple[tuple[int, int], ...]
    exif: bytes = b""
    bit_depth: int = 8
    turned: int | None = None
    head: bytes = b""
    tails: tuple[bytes, ...] = (b"",)
    bands: str = ""
    ended: bool = True
    scans: int = 1
    stretched: bool = False
    words: str = ""
    channels: int = 1
    inverted: bool = False
