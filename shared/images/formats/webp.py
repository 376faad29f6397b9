"""The chunks of a WEBP. Source: RFC 9649, sections 2 and 3; RFC 6386, section 9.1."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from shared.contract.errors import InvalidImage, UnsupportedImage
from shared.contract.geometry import Size
from shared.images.formats.parts import MAX_PARTS, Parts

_ANIMATION_FLAG = 0x02
_KEY_FRAME = b"\x9d\x01\x2a"
_LOSSLESS = 0x2F


def read_webp(data: bytes) -> Parts:
    """Find the parts of a WEBP. No bytes are left out, because the decoder reads only what it needs.

    Raises:
        InvalidImage: the file is broken or truncated.
        UnsupportedImage: the file is animated.
        struct.error, IndexError: the file ends inside a field.
    """
    stop = 8 + struct.unpack_from("<I", data, 4)[0]
    if stop > len(data):
        raise InvalidImage("the WEBP is truncated")
    sizes: dict[bytes, Size] = {}
    exif = b""
    for kind, start, end in _chunks(data, stop):
        if kind in (b"ANIM", b"ANMF") or (kind == b"VP8X" and data[start] & _ANIMATION_FLAG):
            raise UnsupportedImage("animated images are not supported: send one frame")
        if kind in _SIZES:
            sizes.setdefault(kind, _SIZES[kind](data, start))
        elif kind == b"EXIF":
            exif = exif or data[start:end].removeprefix(b"Exif\0\0")
    stored = sizes.get(b"VP8 ") or sizes.get(b"VP8L")
    if stored is None or sizes.get(b"VP8X", stored) != stored:
        raise InvalidImage("the WEBP is broken: it has no image, or one that does not fill its canvas")
    return Parts(stored, ((0, stop),), exif)


def _chunks(data: bytes, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (FourCC, start, end) of each chunk's content."""
    position = 12
    for _ in range(MAX_PARTS):
        if position + 8 > stop:
            return
        kind, length = struct.unpack_from("<4sI", data, position)
        start = position + 8
        if start + length > stop:
            raise InvalidImage("the WEBP is truncated or broken: a chunk does not fit")
        yield kind, start, start + length
        position = start + length + length % 2
    raise InvalidImage(f"the WEBP has more than {MAX_PARTS} chunks")


def _canvas(data: bytes, start: int) -> Size:
    width = int.from_bytes(data[start + 4 : start + 7], "little")
    height = int.from_bytes(data[start + 7 : start + 10], "little")
    return height + 1, width + 1


def _lossy(data: bytes, start: int) -> Size:
    code, width, height = struct.unpack_from("<3sHH", data, start + 3)
    if code != _KEY_FRAME or data[start] & 1:
        raise InvalidImage("the WEBP is broken: it does not start with a key frame")
    return height & 0x3FFF, width & 0x3FFF


def _lossless(data: bytes, start: int) -> Size:
    signature, bits = struct.unpack_from("<BI", data, start)
    if signature != _LOSSLESS or bits >> 29:
        raise InvalidImage("the WEBP is broken: its lossless header is wrong")
    return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1


_SIZES = {b"VP8X": _canvas, b"VP8 ": _lossy, b"VP8L": _lossless}
