"""Where in a file its pixels are, and the bound on walking it."""

from __future__ import annotations

from dataclasses import dataclass

from shared.contract.geometry import Size

MAX_PARTS = 100_000
"""Segments or chunks walked before giving up: libpng's 8 KiB chunks reach 800 MB. It bounds the time."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a file that matter.

    Attributes:
        stored: (height, width) as stored, before the EXIF orientation.
        essential: (start, stop) of the byte ranges that decide the pixels, in order; metadata left out.
        exif: the TIFF structure that carries the orientation, or empty.
        bit_depth: bits per sample.
    """

    stored: Size
    essential: tuple[tuple[int, int], ...]
    exif: bytes = b""
    bit_depth: int = 8
