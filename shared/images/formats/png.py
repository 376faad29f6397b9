"""The chunks of a PNG. Source: the PNG specification, third edition, section 5."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from shared.contract.errors import InvalidImage, UnsupportedImage
from shared.images.formats.parts import MAX_PARTS, Parts

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BIT_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
"""The bit depths that each colour type may have."""
_ESSENTIAL = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})


def read_png(data: bytes) -> Parts:
    """Find the parts of a PNG.

    Raises:
        InvalidImage: the file is broken or has no end chunk.
        UnsupportedImage: the file is animated.
        struct.error: the file ends inside a field.
    """
    if not data.startswith(_SIGNATURE):
        raise InvalidImage("the PNG is truncated, or was changed on its way: its signature is wrong")
    length, kind, width, height, depth, colour = struct.unpack_from(">I4sIIBB", data, 8)
    if (length, kind) != (13, b"IHDR") or struct.unpack_from(">I", data, 29)[0] != zlib.crc32(data[12:29]):
        raise InvalidImage("the PNG is broken: its header is wrong")
    if depth not in _BIT_DEPTHS.get(colour, ()):
        raise InvalidImage("the PNG is broken: its header names a colour type that does not exist")
    essential, exif, kinds = [(0, 8)], b"", set()
    for kind, start, end in _chunks(data):
        kinds.add(kind)
        if kind in _ESSENTIAL:
            essential.append((start, end))
        elif kind == b"eXIf":
            exif = data[start + 8 : end - 4]
        elif kind == b"acTL":
            raise UnsupportedImage("animated images are not supported: send one frame")
    if b"IDAT" not in kinds:
        raise InvalidImage("the PNG has no image data")
    # Grey of 16 bits is what microscopes and thermal cameras write, most often with fewer bits than that in use.
    return Parts((height, width), tuple(essential), exif, depth, stretched=(colour, depth) == (0, 16))


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start, end) of each chunk up to and including IEND."""
    start = len(_SIGNATURE)
    for _ in range(MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if end > len(data):
            raise InvalidImage("the PNG is truncated: its end chunk is missing")
        yield kind, start, end
        if kind == b"IEND":
            return
        start = end
    raise InvalidImage(f"the PNG has more than {MAX_PARTS} chunks")
