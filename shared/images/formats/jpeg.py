"""The segments of a JPEG. Source: ITU-T T.81, annex B."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from shared.contract.errors import InvalidImage, UnsupportedImage
from shared.contract.geometry import Size
from shared.images.formats.parts import MAX_PARTS, Parts
from shared.images.formats.tiff import first_directory

MAX_SCANS = 100
"""Most scans of a progressive JPEG; encoders write about ten. For each scan a decoder walks over the whole image, which
takes 50 ms for 50 MP even if the scan has only 97 bytes."""

_SOI, _EOI, _SOS, _APP1, _APP2 = 0xD8, 0xD9, 0xDA, 0xE1, 0xE2
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_METADATA = frozenset({*range(0xE1, 0xF0), 0xFE}) - {0xEE}  # APP0 (JFIF) and APP14 (Adobe) name the colour space
_NEVER_HERE = frozenset({0x00, 0x01, _SOI, *range(0xD0, 0xD8)})  # markers without a length
_NUMBER_OF_PICTURES = 0xB001

_FILL = re.compile(rb"\xff+")  # any number of FF may precede a marker
# Entropy-coded data holds FF only before 00 (a literal FF), a restart marker, or another FF (padding).
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def read_jpeg(data: bytes) -> Parts:
    """Find the parts of a JPEG. `data` must begin with the JPEG marker.

    Bytes after the end marker, such as a motion photo's video, are dropped.

    Raises:
        InvalidImage: the file is broken or has no end marker.
        UnsupportedImage: the file has several pictures (MPO).
        struct.error, IndexError: the file ends inside a field.
    """
    stored: Size | None = None
    exif, pictures, gain_map, scans = b"", 1, False, 0
    essential = [(0, 2)]
    for marker, start, body, end in _segments(data):
        if marker in _START_OF_FRAME:
            precision, height, width = struct.unpack_from(">BHH", data, body)
            if stored is not None or precision != 8:
                raise InvalidImage("the JPEG is broken, or does not have 8 bits per sample")
            stored = (height, width)
        elif marker == _SOS:
            scans += 1
        elif marker == _APP1:
            if not exif and data.startswith(b"Exif\0", body):
                exif = data[body + 6 : end]
            gain_map = gain_map or data.find(b' hdrgm:Version="', body, end) >= 0
        elif marker == _APP2 and data.startswith(b"MPF\0", body):
            pictures = first_directory(data[body + 4 : end]).get(_NUMBER_OF_PICTURES, 1)
        if marker not in _METADATA:
            essential.append((start, end))
    if stored is None or not 0 < scans <= MAX_SCANS:
        raise InvalidImage(f"the JPEG is broken: it has no frame, no scan or more than {MAX_SCANS} scans")
    # A photo with a gain map (Ultra HDR) counts as two pictures, and every viewer shows the first.
    if pictures > 1 and not gain_map:
        raise UnsupportedImage("several pictures in one file (MPO) are not supported: send one JPEG")
    return Parts(stored, tuple(essential), exif)


def _segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield (marker, start, start of its content, end) of each segment up to and including the end marker.

    A scan's entropy-coded data is part of its segment.
    """
    position = 2
    for _ in range(MAX_PARTS):
        start = position
        fill = _FILL.match(data, start)
        if fill is None:
            raise InvalidImage("the JPEG is truncated or broken: a segment does not start with a marker")
        marker = data[fill.end()]
        position = fill.end() + 1
        if marker in _NEVER_HERE:
            raise InvalidImage("the JPEG is broken: a marker is in the wrong place")
        if marker == _EOI:
            yield marker, start, position, position
            return
        body = position + 2
        position += struct.unpack_from(">H", data, position)[0]
        if not body <= position <= len(data):
            raise InvalidImage("the JPEG is truncated or broken: a segment does not fit")
        if marker == _SOS:
            following = _NEXT_MARKER.search(data, position)
            if following is None:
                raise InvalidImage("the JPEG is truncated: its end marker is missing")
            position = following.start()
        yield marker, start, body, position
    raise InvalidImage(f"the JPEG has more than {MAX_PARTS} segments")
