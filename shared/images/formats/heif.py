"""The boxes of an AVIF or a HEIC. Sources: ISO/IEC 14496-12 (boxes, `meta`); ISO/IEC 23008-12 (HEIF: items and their
properties); AV1 Image File Format; ISO/IEC 23000-22 (MIAF)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from shared.contract.errors import InvalidImage, UnsupportedImage
from shared.contract.geometry import Size
from shared.images.formats import av1, hevc
from shared.images.formats.parts import MAX_PARTS, Parts

_SEQUENCES = frozenset({b"avis", b"msf1", b"hevc", b"hevx", b"hevm", b"hevs"})
_STILL = {b"avif": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC", b"heis": "HEIC"}
_CODED = {"AVIF": b"av01", "HEIC": b"hvc1"}
_GRID = b"grid"
_MOST_ITEMS = 4096
"""Pictures in one file: tiles, thumbnails and the like. A phone's photo of 48 MP has 200."""

_MOST_ALPHAS = 4
_SLACK = 256
"""Pixels by which a coded side may be longer than the side that the file states: codecs fill up whole blocks."""

_TURNED_AVIF = {
    (0, None): 1, (0, 0): 4, (0, 1): 2,
    (1, None): 8, (1, 0): 5, (1, 1): 7,
    (2, None): 3, (2, 0): 2, (2, 1): 4,
    (3, None): 6, (3, 0): 7, (3, 1): 5,
}  # fmt: skip
"""The EXIF orientation that a rotation (in quarter turns against the clock) and a mirror axis amount to."""


def heif_kind(data: bytes) -> str | None:
    """Return `AVIF` or `HEIC` if the file says that it is one, else None.

    Raises:
        UnsupportedImage: the file is an animation.
    """
    if data[4:8] != b"ftyp":
        return None
    (length,) = struct.unpack_from(">I", data, 0)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, min(length, len(data), 400), 4))]
    kind = next((_STILL[brand] for brand in brands if brand in _STILL), None)
    if brands[0] in _SEQUENCES and (kind or brands[0] in (b"avis", b"hevc", b"hevx")):
        raise UnsupportedImage("animated images are not supported: send one frame")
    return kind


def read_avif(data: bytes) -> Parts:
    """Find the parts of an AVIF. See `_read`."""
    return _read(data, "AVIF")


def read_heic(data: bytes) -> Parts:
    """Find the parts of a HEIC. See `_read`."""
    return _read(data, "HEIC")


def _read(data: bytes, kind: str) -> Parts:
    """Find the parts of the file's primary picture.

    What stands behind the last box is left out: phones put other data there. Inside the boxes no bytes are left out,
    because they point at each other.

    A codec takes memory for the size that its own headers name, not for the one that the file states. So those headers
    are read too.

    Raises:
        InvalidImage: the file is broken or truncated.
        UnsupportedImage: the file is an animation, or of a kind that is not read.
        struct.error, IndexError: the file ends inside a field.
    """
    meta, whole = None, 0
    for name, start, end in _top_boxes(data):
        whole = end
        if name == b"moov":
            raise UnsupportedImage("animated images are not supported: send one frame")
        if name == b"meta" and meta is None:
            meta = (start, end)
    if meta is None:
        raise InvalidImage(f"the {kind} is truncated or broken: it has no description of its pictures")
    file = _file(data, *meta)
    primary = file.items.get(file.primary)
    if primary is None:
        raise InvalidImage(f"the {kind} is broken: it has no primary picture")
    alphas = [source for source, targets in file.references.get(b"auxl", []) if file.primary in targets]
    area = sum(_checked(file, number, kind) for number in [file.primary, *alphas][:_MOST_ALPHAS])
    height, width = file.size(file.primary, kind)
    if area > 3 * height * width + _SLACK * _SLACK * 64:
        raise InvalidImage(f"the {kind} is broken: its tiles cover far more than its picture")
    turns, axis = primary.turns & 3, primary.axis
    if kind == "AVIF":
        return Parts((height, width), ((0, whole),), turned=_TURNED_AVIF[turns, axis])
    if primary.clean is not None:
        height, width = primary.clean
    return Parts((width, height) if turns % 2 else (height, width), ((0, whole),), turned=1)


@dataclass(slots=True)
class _Item:
    """One picture, or part of a picture, of the file.

    Attributes:
        clean: (height, width) that its clean aperture leaves of it.
        turns: quarter turns against the clock.
        axis: of the mirror, 0 (upside down) or 1 (left to right).
        record: its codec's configuration.
        extents: (start, stop) of its data.
    """

    kind: bytes
    stored: Size | None = None
    clean: Size | None = None
    turns: int = 0
    axis: int | None = None
    record: bytes | memoryview = b""
    extents: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class _File:
    """What the `meta` box says.

    Attributes:
        unread: bytes of items that may still be looked into. No honest file uses its bytes for many items.
    """

    data: bytes
    unread: int
    primary: int = -1
    items: dict[int, _Item] = field(default_factory=dict)
    references: dict[bytes, list[tuple[int, tuple[int, ...]]]] = field(default_factory=dict)

    def size(self, number: int, kind: str) -> Size:
        stored = self.items[number].stored
        if stored is None or 0 in stored:
            raise InvalidImage(f"the {kind} is broken: it does not say how large its picture is")
        return stored


def _checked(file: _File, number: int, kind: str) -> int:
    """Return the pixels of an item and of its tiles, after checking that no codec will see a larger size."""
    item = file.items.get(number)
    if item is None:
        return 0
    if item.kind not in (_CODED[kind], _GRID):  # so a hostile file reaches no other decoder of the library
        raise UnsupportedImage(f"this kind of {kind} is not supported: its picture is not a {kind} picture itself")
    height, width = file.size(number, kind)
    if item.kind != _GRID:
        _check_codec(file, item, (height, width), kind)
        return height * width
    area = 0
    for source, tiles in file.references.get(b"dimg", []):
        if source != number:
            continue
        for tile in tiles:
            part = file.items.get(tile)
            if part is None or part.kind != _CODED[kind]:
                raise InvalidImage(f"the {kind} is broken: a tile of its picture is missing")
            size = file.size(tile, kind)
            _check_codec(file, part, size, kind)
            area += size[0] * size[1]
    if not height * width <= area:
        raise InvalidImage(f"the {kind} is broken: its tiles do not cover its picture")
    return area


def _check_codec(file: _File, item: _Item, stated: Size, kind: str) -> None:
    file.unread -= len(item.record) + sum(stop - start for start, stop in item.extents)
    if file.unread < 0 or not item.extents:
        raise InvalidImage(f"the {kind} is broken: its picture has no data of its own")
    body = b"".join(file.data[start:stop] for start, stop in item.extents)
    record, most = bytes(item.record), max(16, MAX_PARTS // len(file.items))
    if kind == "AVIF":
        sizes = [*av1.coded_sizes(body, most=most), *av1.coded_sizes(record[4:], most=most)]
    else:
        sizes = [*hevc.configured_sizes(record, most=most), *hevc.coded_sizes(body, record, most=most)]
    if not sizes:
        raise InvalidImage(f"the {kind} is broken: its codec's header is missing")
    for height, width in sizes:
        if height > stated[0] + _SLACK or width > stated[1] + _SLACK:
            raise InvalidImage(f"the {kind} contradicts itself about its size")


def _top_boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the boxes of the file itself, as `_boxes` does, until something follows that is no box of a picture."""
    seen: set[bytes] = set()
    for name, start, end in _boxes(data, 0, len(data)):
        yield name, start, end
        seen.add(name)
        following = data[end + 4 : end + 8]
        if seen >= {b"meta", b"mdat"} and following not in _OF_PICTURES:
            return


_OF_PICTURES = frozenset({b"meta", b"mdat", b"idat", b"moov", b"free", b"skip", b"uuid", b"mpvd"})
"""The boxes that may follow the picture's data."""


def _boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start, end) of each box's content."""
    for _ in range(MAX_PARTS):
        if start >= stop:
            return
        length, name = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, content)
            content += 8
        end = stop if length == 0 else start + length
        if not content <= end <= stop:
            raise InvalidImage("the picture is truncated or broken: a box does not fit")
        yield name, content, end
        start = end
    raise InvalidImage(f"the picture has more than {MAX_PARTS} boxes")


def _file(data: bytes, start: int, stop: int) -> _File:
    """Read what the `meta` box says about the pictures."""
    found = {name: (at, end) for name, at, end in _boxes(data, start + 4, stop)}
    file = _File(data, unread=2 * len(data))
    if not {b"pitm", b"iinf", b"iprp", b"iloc"} <= found.keys():
        raise InvalidImage("the picture is broken: its description is not complete")
    at, _ = found[b"pitm"]
    (file.primary,) = struct.unpack_from(">H" if data[at] == 0 else ">I", data, at + 4)
    _read_items(file, *found[b"iinf"])
    _read_locations(file, *found[b"iloc"], idat=found.get(b"idat", (0, 0)))
    _read_properties(file, *found[b"iprp"])
    if b"iref" in found:
        _read_references(file, *found[b"iref"])
    return file


def _read_items(file: _File, start: int, stop: int) -> None:
    data = file.data
    first = start + (6 if data[start] == 0 else 8)
    for name, at, _ in _boxes(data, first, stop):
        if name != b"infe" or data[at] not in (2, 3):
            continue
        number, _, kind = struct.unpack_from(">HH4s" if data[at] == 2 else ">IH4s", data, at + 4)
        file.items[number] = _Item(kind)
        if len(file.items) > _MOST_ITEMS:
            raise InvalidImage(f"the picture has more than {_MOST_ITEMS} items")


class _Cursor:
    """Reads big-endian numbers of any whole number of bytes, one after the other, and not endlessly many."""

    def __init__(self, data: bytes, position: int, stop: int) -> None:
        self._data = data
        self._position = position
        self._stop = stop
        self._left = 4 * MAX_PARTS

    def take(self, length: int) -> int:
        start = self._position
        self._position += length
        self._left -= 1
        if self._position > self._stop or self._left < 0:
            raise IndexError("a box ends inside a number, or has too many of them")
        return int.from_bytes(self._data[start : self._position], "big")


def _read_locations(file: _File, start: int, stop: int, *, idat: tuple[int, int]) -> None:
    version = file.data[start]
    cursor = _Cursor(file.data, start + 4, stop)
    sizes = cursor.take(2)
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    for _ in range(cursor.take(4 if version == 2 else 2)):
        item = file.items.get(cursor.take(4 if version == 2 else 2))
        construction = cursor.take(2) & 15 if version else 0
        cursor.take(2)
        begin = cursor.take(base)
        for _ in range(cursor.take(2)):
            if version:
                cursor.take(index)
            at, size = begin + cursor.take(offset), cursor.take(length)
            if item is None:
                continue
            if construction == 1:
                at += idat[0]
            end = at + size if size else (idat[1] if construction == 1 else len(file.data))
            if construction > 1 or not at <= end <= len(file.data):
                raise InvalidImage("the picture is truncated or broken: its data does not fit")
            item.extents.append((at, end))


def _read_properties(file: _File, start: int, stop: int) -> None:
    data, view = file.data, memoryview(file.data)
    properties: list[tuple[bytes, int, int]] = []
    associations = []
    for name, at, end in _boxes(data, start, stop):
        if name == b"ipco":
            properties = list(_boxes(data, at, end))
        elif name == b"ipma":
            associations.append((at, end))
    for at, end in associations:
        version, flags = data[at], data[at + 3]
        cursor = _Cursor(data, at + 4, end)
        for _ in range(cursor.take(4)):
            item = file.items.get(cursor.take(2 if version == 0 else 4))
            for _ in range(cursor.take(1)):
                index = cursor.take(2) & 0x7FFF if flags & 1 else cursor.take(1) & 0x7F
                if item is None or index == 0:
                    continue
                name, place, limit = properties[index - 1]
                if name in _PROPERTIES:
                    _PROPERTIES[name](item, view[place:limit])


def _ispe(item: _Item, body: memoryview) -> None:
    width, height = struct.unpack_from(">II", body, 4)
    item.stored = (height, width)


def _clap(item: _Item, body: memoryview) -> None:
    width, per_width, height, per_height = struct.unpack_from(">IIII", body)
    if per_width and per_height:
        item.clean = (height // per_height, width // per_width)


def _irot(item: _Item, body: memoryview) -> None:
    item.turns = body[0] & 3


def _imir(item: _Item, body: memoryview) -> None:
    item.axis = body[0] & 1


def _configuration(item: _Item, body: memoryview) -> None:
    item.record = body


_PROPERTIES: dict[bytes, Callable[[_Item, memoryview], None]] = {
    b"ispe": _ispe,
    b"clap": _clap,
    b"irot": _irot,
    b"imir": _imir,
    b"av1C": _configuration,
    b"hvcC": _configuration,
}


def _read_references(file: _File, start: int, stop: int) -> None:
    data, wide = file.data, file.data[start] > 0
    for name, at, end in _boxes(data, start + 4, stop):
        cursor = _Cursor(data, at, end)
        source = cursor.take(4 if wide else 2)
        targets = tuple(cursor.take(4 if wide else 2) for _ in range(cursor.take(2)))
        file.references.setdefault(name, []).append((source, targets))
