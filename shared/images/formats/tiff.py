"""The first directory of a TIFF structure: a TIFF file's first page, or the EXIF inside another image file.

Some cameras and editors write broken EXIF. Pillow's reader warns and raises on it; this reader never fails.
Sources: TIFF 6.0; TIFF Technical Note 2 (JPEG); Adobe's Photoshop TIFF notes (Deflate); BigTIFF; Exif 2.32,
section 4.6.4.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.contract.errors import InvalidImage, UnsupportedImage
from shared.images.formats.parts import MAX_PARTS, Parts

_ORIENTATION = 0x0112
_FORMATS = {3: "H", 4: "I"}  # SHORT, LONG


def orientation(exif: bytes) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if it is missing, unreadable or out of range."""
    value = first_directory(exif).get(_ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def first_directory(tiff: bytes) -> dict[int, int]:
    """Return the single SHORT and LONG values of the first directory by tag, as far as they can be read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    values: dict[int, int] = {}
    if order is None:
        return values
    try:
        (offset,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, offset)
        for entry in range(offset + 2, offset + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(f"{order}HHI", tiff, entry)
            if kind in _FORMATS and count == 1:
                values.setdefault(tag, struct.unpack_from(order + _FORMATS[kind], tiff, entry + 8)[0])
    except struct.error:
        return values
    return values


_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 254, 256, 257, 258, 259, 262, 266
_STRIPS, _SAMPLES, _ROWS, _STRIP_SIZES, _PLANAR = 273, 277, 278, 279, 284
_GROUP3, _GROUP4, _PREDICTOR, _COLOURS = 292, 293, 317, 320
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES = 322, 323, 324, 325
_EXTRA, _FORMAT, _JPEG_TABLES, _SUBSAMPLING, _DNG = 338, 339, 347, 530, 50706

_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # BYTE, SHORT, LONG, LONG8
_COUNTS = {
    **dict.fromkeys((_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES, _ROWS, _PLANAR), 1),
    **dict.fromkeys((_GROUP3, _GROUP4, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _ORIENTATION), 1),
    **dict.fromkeys((_BITS, _FORMAT, _EXTRA), 8),
    **dict.fromkeys((_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES), MAX_PARTS),
    _COLOURS: 3 * 256,
    _SUBSAMPLING: 2,
}
"""The tags that are read, each with the most values it may have. JPEG tables and the mark of a DNG are read apart."""

_RAW, _FAX, _JPEG = 1, (2, 3, 4), 7
_COMPRESSIONS = frozenset({_RAW, *_FAX, 5, _JPEG, 8, 32773, 32946, 50000})
"""None, CCITT, LZW, JPEG, Deflate, PackBits, Deflate of before its number was agreed, Zstandard."""

_GREYS, _RGB, _PALETTE, _CMYK, _YCBCR = (0, 1), 2, 3, 5, 6
_COLOURS_OF = {0: 1, 1: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_WIDE_GREY = {("<", _UNSIGNED, 12)} | {
    (order, *kind) for order in "<>" for kind in ((_UNSIGNED, 16), (_SIGNED, 16), (_SIGNED, 32), (_FLOAT, 32))
}
"""Byte order, format and bits of the grey samples that Pillow reads."""
_WORDS = {
    (_UNSIGNED, 16): "u2", (_UNSIGNED, 32): "u4", (_SIGNED, 16): "i2", (_SIGNED, 32): "i4",
    (_FLOAT, 16): "f2", (_FLOAT, 32): "f4", (_FLOAT, 64): "f8",
}  # fmt: skip
"""numpy's names of the samples that Pillow does not read, or not in every number. It reads their bytes instead."""
_ASSOCIATED_ALPHA = 1
_MOST_JPEG_TABLES = 65_536
_MOST_TILE = 1 << 24
"""Pixels of one tile. A decoder takes memory for a whole tile, however small the picture is."""

_Tags = Mapping[int, Sequence[int]]


def read_tiff(data: bytes) -> Parts:
    """Find the parts of a TIFF's first page.

    The decoder gets another directory, at the end of the file, made of the tags that decide the pixels and nothing
    else. So it never follows a chain of pages, and reads no metadata, whatever the file says.

    Raises:
        InvalidImage: the file is broken or truncated.
        UnsupportedImage: the first page is a preview, or of a kind that is not read.
        struct.error, IndexError: the file ends inside a field.
    """
    order, tags, tables = _page(data)
    layout = _layout(order, tags)
    if not (layout.width and layout.height):
        return Parts((layout.height, layout.width), (), turned=1)
    offsets, sizes = _pieces(data, tags, layout)
    end = len(data) + len(data) % 2
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", end)
    bands = _bands(tags, layout) if layout.planar and layout.stretched else ""
    share = len(offsets) // layout.samples if bands else len(offsets)
    padding = bytes(end - len(data))
    tails = []
    for plane in range(len(bands) or 1):
        piece = slice(plane * share, (plane + 1) * share)
        entries = _entries(tags, layout, offsets[piece], sizes[piece], alone=bool(bands))
        tails.append(padding + _directory(order, end, entries, tables))
    turned = tags.get(_ORIENTATION, [1])[0]
    return Parts(
        (layout.height, layout.width),
        ((8, len(data)),),
        bit_depth=layout.bits,
        turned=turned if 1 <= turned <= 8 else 1,
        head=head,
        tails=tuple(tails),
        bands=bands,
        stretched=layout.stretched,
        words=layout.words,
        channels=1 if bands else layout.samples,
        inverted=layout.stretched and layout.photometric == 0,
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the samples of a page are arranged, in the words of TIFF 6.0."""

    width: int
    height: int
    bits: int
    format: int
    samples: int
    photometric: int
    compression: int
    planar: bool
    stretched: bool
    words: str


def _page(data: bytes) -> tuple[str, _Tags, bytes]:
    """Return the byte order, the tags of the first page that matter, and its JPEG tables."""
    order = "<" if data.startswith(b"II") else ">"
    (version,) = struct.unpack_from(f"{order}H", data, 2)
    big = version == 43
    long, short, step, start = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)
    (offset,) = struct.unpack_from(order + long, data, start)
    (entries,) = struct.unpack_from(order + short, data, offset)
    offset += struct.calcsize(short)
    if entries * step > len(data):
        raise InvalidImage("the TIFF is truncated or broken: its directory does not fit")
    tags: dict[int, Sequence[int]] = {}
    tables = b""
    for entry in range(offset, offset + step * entries, step):
        tag, kind, count = struct.unpack_from(f"{order}HH{long}", data, entry)
        at = entry + 4 + struct.calcsize(long)
        if tag == _DNG:
            raise UnsupportedImage("raw photos of cameras (DNG) are not supported: send a developed picture")
        if tag == _JPEG_TABLES and kind in (1, 7) and 8 < count <= _MOST_JPEG_TABLES:
            (at,) = struct.unpack_from(order + long, data, at)
            tables = data[at : at + count]
        elif tag in _COUNTS and tag not in tags and kind in _INTEGERS:
            if not 0 < count <= _COUNTS[tag]:
                raise InvalidImage(f"the TIFF is broken, or has too many parts: its tag {tag} has {count} values")
            form = f"{order}{count}{_INTEGERS[kind]}"
            if struct.calcsize(form) > struct.calcsize(long):
                (at,) = struct.unpack_from(order + long, data, at)
            tags[tag] = struct.unpack_from(form, data, at)
    return order, tags, tables


def _layout(order: str, tags: _Tags) -> _Layout:
    if _WIDTH not in tags or _HEIGHT not in tags or _PHOTOMETRIC not in tags:
        raise InvalidImage("the TIFF is broken: it does not say how large its picture is, or in which colours")
    if tags.get(_SUBFILE, [0])[0] & 1:
        raise UnsupportedImage("the first page of the TIFF is a preview, as in raw photos: send the picture alone")
    photometric, samples = tags[_PHOTOMETRIC][0], tags.get(_SAMPLES, [1])[0]
    bits, formats = set(tags.get(_BITS, [1])), set(tags.get(_FORMAT, [_UNSIGNED]))
    compression = tags.get(_COMPRESSION, [_RAW])[0]
    colours = _COLOURS_OF.get(photometric)
    if colours is None or len(bits) > 1 or len(formats) > 1 or not colours <= samples <= colours + 3:
        raise UnsupportedImage("this kind of TIFF is not supported: its colours or samples are unusual")
    if compression not in _COMPRESSIONS:
        raise UnsupportedImage(f"this kind of TIFF is not supported: its compression is number {compression}")
    (depth,), (form,) = bits, formats
    if (compression in _FAX and depth != 1) or (compression == _JPEG and depth != 8):
        raise UnsupportedImage("this kind of TIFF is not supported: its compression does not suit its samples")
    words = ""
    if not _is_read(order, tags, photometric, form, depth):
        if depth > 8 and samples == colours and _can_be_bytes(tags, compression, photometric):
            words = _WORDS.get((form, depth), "")
        if not words:
            raise UnsupportedImage("this kind of TIFF is not supported: its samples are unusual")
    if photometric == _PALETTE and len(tags.get(_COLOURS, ())) != 3 << depth:
        raise InvalidImage("the TIFF is broken: its palette is missing or has the wrong length")
    planar = tags.get(_PLANAR, [1])[0] == 2 and samples > 1
    return _Layout(
        width=tags[_WIDTH][0],
        height=tags[_HEIGHT][0],
        bits=depth,
        format=form,
        samples=samples,
        photometric=photometric,
        compression=compression,
        planar=planar,
        stretched=depth > 8,
        words=order + words if words else "",
    )


def _is_read(order: str, tags: _Tags, photometric: int, form: int, depth: int) -> bool:
    """Return whether Pillow reads samples of this kind."""
    samples, extra = tags.get(_SAMPLES, [1])[0], tags.get(_EXTRA, ())
    if depth > 8:
        if _ASSOCIATED_ALPHA in extra or tags.get(_FILL_ORDER, [1])[0] != 1:
            return False
        if photometric in _GREYS and samples == 1:
            return (order, form, depth) in _WIDE_GREY
        return (form, depth) == (_UNSIGNED, 16) and photometric in (_RGB, _CMYK) and samples <= 4
    if photometric == _YCBCR and tags.get(_COMPRESSION, [_RAW])[0] != _JPEG:
        return depth == 8 and tuple(tags.get(_SUBSAMPLING, (2, 2))) == (1, 1)
    if depth == 8:
        return form == _UNSIGNED or (form == _SIGNED and photometric == 1 and samples == 1)
    return depth in (1, 2, 4) and form == _UNSIGNED and samples == 1 and photometric in (*_GREYS, _PALETTE)


def _can_be_bytes(tags: _Tags, compression: int, photometric: int) -> bool:
    """Return whether a decoder may take each sample for several pixels of 8 bits: nothing works on whole samples."""
    return (
        photometric in (*_GREYS, _RGB)
        and compression not in (*_FAX, _JPEG)
        and tags.get(_PREDICTOR, [1])[0] == 1
        and tags.get(_FILL_ORDER, [1])[0] == 1
    )


def _bands(tags: _Tags, layout: _Layout) -> str:
    """Return Pillow's mode for planes of 16 bits."""
    if layout.photometric == _CMYK:
        return "CMYK"
    return "RGBA" if layout.samples == 4 and tags.get(_EXTRA, [2])[0] == 2 else "RGB"


def _pieces(data: bytes, tags: _Tags, layout: _Layout) -> tuple[Sequence[int], Sequence[int]]:
    """Return the offsets and the lengths of all strips or tiles. Each lies inside the file."""
    if _TILES in tags:
        width, height = tags.get(_TILE_WIDTH, [0])[0], tags.get(_TILE_HEIGHT, [0])[0]
        if not (0 < width * height <= _MOST_TILE):
            raise InvalidImage("the TIFF is broken: its tiles have no size, or too large a one")
        offsets, sizes = tags[_TILES], tags.get(_TILE_SIZES, ())
    else:
        width, height = layout.width, min(tags.get(_ROWS, [layout.height])[0], layout.height)
        if _STRIPS not in tags or not height:
            raise InvalidImage("the TIFF is broken: it has no pixels")
        offsets, sizes = tags[_STRIPS], tags.get(_STRIP_SIZES, ())
    down, across = -(-layout.height // height), -(-layout.width // width)
    planes = layout.samples if layout.planar else 1
    count = down * across * planes
    if len(offsets) < count or count > MAX_PARTS:
        raise InvalidImage("the TIFF is truncated or broken: some of its strips or tiles are missing")
    if down * height * across * width > 4 * layout.height * layout.width + _MOST_TILE:
        raise InvalidImage("the TIFF is broken: its tiles cover far more than its picture")
    offsets = offsets[:count]
    row = (width * layout.bits * (layout.samples // planes) + 7) // 8
    if layout.compression == _RAW:
        # What the last strip holds beyond the picture may be missing.
        rows = [
            height if _TILES in tags else min(height, layout.height - each % down * height) for each in range(count)
        ]
        sizes = [row * each for each in rows]
    elif len(sizes) < count:
        raise InvalidImage("the TIFF is broken: the lengths of its strips or tiles are missing")
    if any(offset + size > len(data) for offset, size in zip(offsets, sizes, strict=False)):
        raise InvalidImage("the TIFF is truncated: a part of its picture is missing")
    return offsets, sizes[:count]


def _entries(
    tags: _Tags, layout: _Layout, offsets: Sequence[int], sizes: Sequence[int], *, alone: bool
) -> dict[int, Sequence[int]]:
    """Return the tags that a decoder needs. `alone` makes one plane of several a grey picture."""
    entries = {tag: values for tag, values in tags.items() if tag not in (_SUBFILE, _ORIENTATION)}
    if _TILES in tags:
        for tag in (_STRIPS, _STRIP_SIZES, _ROWS):
            entries.pop(tag, None)
        entries[_TILES], entries[_TILE_SIZES] = offsets, sizes
    else:
        entries[_STRIPS], entries[_STRIP_SIZES] = offsets, sizes
        entries[_ROWS] = [min(tags.get(_ROWS, [layout.height])[0], layout.height)]
    samples, bits, form = 1 if alone else layout.samples, layout.bits, layout.format
    if layout.words:
        pixels = samples * bits // 8
        entries[_WIDTH] = [layout.width * pixels]
        if _TILES in tags:
            entries[_TILE_WIDTH] = [tags[_TILE_WIDTH][0] * pixels]
        samples, bits, form = 1, 8, _UNSIGNED
    entries[_SAMPLES], entries[_BITS] = [samples], [bits] * samples
    entries[_FORMAT], entries[_COMPRESSION] = [form] * samples, [layout.compression]
    if alone or layout.words:
        entries.pop(_EXTRA, None)
    if alone or not layout.planar:
        entries.pop(_PLANAR, None)
    if alone or layout.words or (layout.stretched and layout.photometric in _GREYS):
        entries[_PHOTOMETRIC] = [1]
    return entries


def _directory(order: str, start: int, entries: _Tags, tables: bytes) -> bytes:
    """Return a directory without a next page, to stand at the offset `start`, with its values behind it."""
    values = {tag: struct.pack(f"{order}{len(numbers)}I", *numbers) for tag, numbers in entries.items()}
    for tag in values.keys() & {_BITS, _FORMAT, _EXTRA, _COLOURS, _SUBSAMPLING}:
        values[tag] = struct.pack(f"{order}{len(entries[tag])}H", *entries[tag])
    kinds = {tag: (3 if len(raw) == 2 * len(entries[tag]) else 4, len(entries[tag])) for tag, raw in values.items()}
    if tables:
        values[_JPEG_TABLES], kinds[_JPEG_TABLES] = tables, (7, len(tables))
    place = start + 2 + 12 * len(values) + 4
    directory, rest = [struct.pack(f"{order}H", len(values))], []
    for tag in sorted(values):
        raw = values[tag]
        directory.append(struct.pack(f"{order}HHI", tag, *kinds[tag]))
        if len(raw) <= 4:
            directory.append(raw.ljust(4, b"\0"))
        else:
            raw += bytes(len(raw) % 2)
            directory.append(struct.pack(f"{order}I", place))
            rest.append(raw)
            place += len(raw)
    return b"".join([*directory, bytes(4), *rest])
