"""The segments of a JPEG. Source: ITU-T T.81, annex B."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from shared.contract.errors import InvalidImage
from shared.contract.geometry import Size
from shared.images.formats.parts import MAX_PARTS, Parts

MAX_SCANS = 100
"""Most scans of a progressive JPEG; encoders write about ten. For each scan a decoder walks over the whole image, which
takes 50 ms for 50 MP even if the scan has only 97 bytes."""

_SOI, _EOI, _SOS, _DRI, _APP1 = 0xD8, 0xD9, 0xDA, 0xDD, 0xE1
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_METADATA = frozenset({*range(0xE1, 0xF0), 0xFE}) - {0xEE}  # APP0 (JFIF) and APP14 (Adobe) name the colour space
_NEVER_HERE = frozenset({0x00, 0x01, _SOI, *range(0xD0, 0xD8)})  # markers without a length
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})

END_MARKER = b"\xff\xd9"

# Any number of FF may precede a marker. Other bytes in front of it are skipped, as libjpeg and the browsers do.
_MARKER = re.compile(rb"\xff+[^\x00\xff]")
# Entropy-coded data holds FF only before 00 (a literal FF), a restart marker, or another FF (padding).
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def read_jpeg(data: bytes) -> Parts:
    """Find the parts of a JPEG. `data` must begin with the JPEG marker.

    A JPEG is its first picture. What stands behind its end marker is left out: a thumbnail, a gain map, the other eye
    of a stereo pair, a motion photo's video. Bytes between two segments that belong to neither are left out too. The
    end marker may be missing if every scan is there; whether the last scan is whole is then known only after decoding.

    Raises:
        InvalidImage: the file is broken or truncated.
        struct.error, IndexError: the file ends inside a field.
    """
    stored: Size | None = None
    exif, scans, ended, interval = b"", 0, False, 0
    coverage, restarts, last_scan = _Coverage(), 0, (0, 0)
    essential = [(0, 2)]
    for marker, start, body, end in _segments(data):
        if marker in _START_OF_FRAME:
            precision, height, width = struct.unpack_from(">BHH", data, body)
            if stored is not None or precision != 8:
                raise InvalidImage("the JPEG is broken, or does not have 8 bits per sample")
            stored = (height, width)
            coverage.begin(data, body, progressive=marker in _PROGRESSIVE)
        elif marker == _SOS:
            scans += 1
            coverage.add(data, body)
            restarts = (coverage.units(data, body) - 1) // interval if interval else 0
            last_scan = (body, end)
        elif marker == _APP1:
            if not exif and data.startswith(b"Exif\0", body):
                exif = data[body + 6 : end]
        elif marker == _DRI:
            (interval,) = struct.unpack_from(">H", data, body)
        elif marker == _EOI:
            ended = True
        if marker not in _METADATA:
            essential.append((start, end))
    if stored is None or not 0 < scans <= MAX_SCANS:
        raise InvalidImage(f"the JPEG is broken: it has no frame, no scan or more than {MAX_SCANS} scans")
    if not ended and not coverage.is_whole:
        raise InvalidImage("the JPEG is truncated: its end marker and at least one scan are missing")
    if not ended and restarts > len(_RESTART.findall(data, *last_scan)):
        raise InvalidImage("the JPEG is truncated: its end marker and a part of its last scan are missing")
    tail = b"" if ended else END_MARKER
    return Parts(stored, tuple(essential), exif, tail=tail, ended=ended, scans=scans)


class _Coverage:
    """Which coefficients of which components the scans bring. Source: ITU-T T.81, sections B.2.3 and G.1.1."""

    def __init__(self) -> None:
        self._progressive = False
        self._missing: dict[int, list[int]] = {}
        self._size = (0, 0)
        self._factors: dict[int, tuple[int, int]] = {}

    def begin(self, data: bytes, body: int, *, progressive: bool) -> None:
        """Take note of the components that a frame header names."""
        self._progressive = progressive
        self._size = struct.unpack_from(">HH", data, body + 1)
        for number in range(data[body + 5]):
            name, factors = data[body + 6 + 3 * number], data[body + 7 + 3 * number]
            self._missing[name] = [1] * 64
            self._factors[name] = (factors & 15, factors >> 4)

    def add(self, data: bytes, body: int) -> None:
        """Take note of what one scan header names."""
        components = data[body]
        first, last, bits = struct.unpack_from(">BBB", data, body + 1 + 2 * components)
        if not self._progressive:
            first, last, bits = 0, 63, 0
        for number in range(components):
            missing = self._missing.get(data[body + 1 + 2 * number])
            if missing is not None and last < 64:
                missing[first : last + 1] = [bits & 15] * max(0, last + 1 - first)

    def units(self, data: bytes, body: int) -> int:
        """Return how many units (MCU) one scan has, by its header. Source: ITU-T T.81, sections A.1.1 and A.2."""
        most = [max((factors[axis] for factors in self._factors.values()), default=0) or 1 for axis in (0, 1)]
        if data[body] > 1:
            down, across = (-(-side // (8 * factor)) for side, factor in zip(self._size, most, strict=True))
        else:
            own = self._factors.get(data[body + 1], (1, 1))
            down, across = (-(-side * own[axis] // (8 * most[axis])) for axis, side in enumerate(self._size))
        return down * across

    @property
    def is_whole(self) -> bool:
        """True if every coefficient of every component came with all its bits."""
        return bool(self._missing) and not any(any(missing) for missing in self._missing.values())


def _segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield (marker, start, start of its content, end) of each segment up to and including the end marker.

    A scan's entropy-coded data is part of its segment. If the file ends behind a scan, there is no end marker.
    """
    position, scanned = 2, False
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, position)
        if found is None:
            if scanned:
                return
            raise InvalidImage("the JPEG is truncated or broken: a segment does not start with a marker")
        start, position = found.span()
        marker = data[position - 1]
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
            # An FF at the very end is the first half of something.
            position = max(position, len(data.rstrip(b"\xff"))) if following is None else following.start()
            scanned = True
        yield marker, start, body, position
    raise InvalidImage(f"the JPEG has more than {MAX_PARTS} segments")
