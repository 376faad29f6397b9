"""Read the structure of an image file before a decoder sees it.

Only the fields that decide the pixels are read. So a hostile or odd file (metadata bombs, broken EXIF, a header that
claims 900 MP) is checked with a few lines of arithmetic.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from shared.contract.errors import InvalidImage, UnsupportedImage
from shared.contract.geometry import Size
from shared.contract.picture_formats import NAMED
from shared.images.formats.bmp import read_bmp
from shared.images.formats.heif import heif_kind, read_avif, read_heic
from shared.images.formats.jpeg import read_jpeg
from shared.images.formats.parts import Parts
from shared.images.formats.png import read_png
from shared.images.formats.tiff import orientation, read_tiff
from shared.images.formats.webp import read_webp

_READERS = {
    "JPEG": read_jpeg,
    "PNG": read_png,
    "WEBP": read_webp,
    "TIFF": read_tiff,
    "BMP": read_bmp,
    "AVIF": read_avif,
    "HEIC": read_heic,
}
"""The reader of each of `PICTURE_FORMATS`, by its name."""


@dataclass(frozen=True, slots=True)
class Structure:
    """A complete still image file.

    Attributes:
        format: a name of `PICTURE_FORMATS`.
        orientation: as EXIF numbers them, 1 to 8; 1 if it is missing or cannot be read.
        parts: the byte ranges that hold its pixels.
    """

    format: str
    orientation: int
    parts: Parts

    @property
    def oriented(self) -> Size:
        """(height, width) as a viewer shows the image: orientations 5 to 8 swap the axes."""
        height, width = self.parts.stored
        return (width, height) if self.orientation >= 5 else (height, width)


def read_structure(data: bytes) -> Structure:
    """Read the structure of a file.

    Raises:
        UnsupportedImage: the file has none of `PICTURE_FORMATS`, is an animation, or of a kind that is not read.
        InvalidImage: the file is empty, broken, truncated or has no pixels.
    """
    name = format_of(data)
    try:
        parts = _READERS[name](data)
    except (struct.error, IndexError, OverflowError):  # a field lies beyond the end
        raise InvalidImage(f"the {name} is truncated") from None
    if 0 in parts.stored:
        raise InvalidImage(f"the {name} has no pixels: one of its sides is 0")
    return Structure(name, orientation(parts.exif) if parts.turned is None else parts.turned, parts)


_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def format_of(data: bytes) -> str:
    """Return the name of the format by the first bytes of a file.

    Raises:
        UnsupportedImage: the file has none of `PICTURE_FORMATS`, or says that it is an animation.
        InvalidImage: the file is empty.
    """
    if not data:
        raise InvalidImage("the image is empty")
    if data.startswith(b"\xff\xd8"):
        return "JPEG"
    if data.startswith(b"\x89PNG"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(_TIFF):
        return "TIFF"
    if data.startswith(b"BM") and len(data) > 14:
        return "BMP"
    try:
        kind = heif_kind(data)
    except struct.error:
        kind = None
    if kind is not None:
        return kind
    raise UnsupportedImage(f"the image is not a {NAMED}")
