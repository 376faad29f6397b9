"""The headers of a BMP. Source: Microsoft's documentation of BITMAPFILEHEADER, BITMAPCOREHEADER and BITMAPV5HEADER."""

from __future__ import annotations

import struct

from shared.contract.errors import InvalidImage, UnsupportedImage
from shared.images.formats.parts import Parts

_CORE_HEADER = 12
_HEADERS = frozenset({40, 52, 56, 64, 108, 124})
_RAW, _RLE8, _RLE4, _BITFIELDS = range(4)
_BITS = {_RAW: (1, 4, 8, 16, 24, 32), _RLE8: (8,), _RLE4: (4,), _BITFIELDS: (16, 24, 32)}
"""The bits per pixel that each compression may have."""


def read_bmp(data: bytes) -> Parts:
    """Find the parts of a BMP. No bytes are left out, because the decoder reads only what it needs.

    Raises:
        InvalidImage: the file is broken or truncated.
        UnsupportedImage: the BMP is of a kind that hardly any program writes.
        struct.error: the file ends inside a field.
    """
    pixels, header = struct.unpack_from("<II", data, 10)
    if header == _CORE_HEADER:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression, colours, entry = _RAW, 0, 3
    elif header in _HEADERS:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
        (colours,) = struct.unpack_from("<I", data, 46)
        entry = 4
    else:
        raise UnsupportedImage("this kind of BMP is not supported: its header has an unknown length")
    if bits not in _BITS.get(compression, ()):
        raise UnsupportedImage("this kind of BMP is not supported: its compression or its number of bits is unusual")
    if width < 0 or height == -(2**31):
        raise InvalidImage("the BMP is broken: its size is negative")
    height = abs(height)
    if bits <= 8 and pixels == 14 + header:  # the offset leaves the palette out, as some programs write it
        pixels += entry * (colours or 1 << bits)
    row = (width * bits + 7) // 8
    if compression in (_RAW, _BITFIELDS) and pixels + (row + 3 & ~3) * (height - 1) + row > len(data):
        raise InvalidImage("the BMP is truncated")
    return Parts((height, width), ((0, len(data)),), turned=1)
