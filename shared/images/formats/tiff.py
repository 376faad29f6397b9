"""The first directory of a TIFF structure: a TIFF file's first page, or the EXIF inside another image file.

Some cameras and editors write broken EXIF. Pillow's reader warns and raises on it; this reader never fails.
Sources: TIFF 6.0; TIFF Technical Note 2 (JPEG) and 3 (predictor of floats); Adobe's Photoshop TIFF notes (Deflate);
BigTIFF; Exif 2.32, section 4.6.4.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from shared.contract.errors import InvalidImage, UnsupportedImage
from shared.contract.geometry import MAX_SIDE
from shared.images.formats import directory
from shared.images.formats.bands import BAND_BYTES, Bands
from shared.images.formats.directory import Tags
from shared.images.formats.parts import MAX_PARTS, Parts

_FORMATS = {3: "H", 4: "I"}  # SHORT, LONG


def orientation(exif: bytes) -> int:
    """Return the EXIF orientation, 1 to 8; 1 if it is missing, unreadable or out of range."""
    value = first_directory(exif).get(directory.ORIENTATION, 1)
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


_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}  # BYTE, SHORT, LONG, LONG8
_COUNTS = {
    **dict.fromkeys((directory.SUBFILE, directory.WIDTH, directory.HEIGHT, directory.COMPRESSION), 1),
    **dict.fromkeys((directory.PHOTOMETRIC, directory.FILL_ORDER, directory.SAMPLES, directory.ROWS), 1),
    **dict.fromkeys((directory.PLANAR, directory.GROUP3, directory.GROUP4, directory.PREDICTOR), 1),
    **dict.fromkeys((directory.TILE_WIDTH, directory.TILE_HEIGHT, directory.ORIENTATION), 1),
    **dict.fromkeys((directory.BITS, directory.FORMAT, directory.EXTRA), 8),
    **dict.fromkeys((directory.STRIPS, directory.STRIP_SIZES, directory.TILES, directory.TILE_SIZES), MAX_PARTS),
    directory.COLOURS: 3 * 256,
    directory.SUBSAMPLING: 2,
}
"""The tags that are read, each with the most values it may have. JPEG tables and the mark of a DNG are read apart."""

_RAW, _FAX, _JPEG = 1, (2, 3, 4), 7
_PREDICTED = frozenset({5, 8, 32946, 50000})
_COMPRESSIONS = frozenset({_RAW, *_FAX, _JPEG, 32773, *_PREDICTED})
"""None, CCITT, JPEG, PackBits; and those that may have a predictor: LZW, Deflate with its two numbers, Zstandard."""

_GREYS, _RGB, _PALETTE, _CMYK, _YCBCR = (0, 1), 2, 3, 5, 6
_MODES = {0: "L", 1: "L", _RGB: "RGB", _PALETTE: "P", _CMYK: "CMYK", _YCBCR: "YCC"}
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_WORDS = {
    (_UNSIGNED, 12): "u12", (_UNSIGNED, 16): "u2", (_UNSIGNED, 32): "u4", (_SIGNED, 16): "i2", (_SIGNED, 32): "i4",
    (_FLOAT, 16): "f2", (_FLOAT, 32): "f4", (_FLOAT, 64): "f8",
}  # fmt: skip
"""numpy's names of the samples of more than 8 bits that are read."""
_ASSOCIATED_ALPHA, _ALPHA = 1, 2
_MOST_JPEG_TABLES = 65_536

MOST_PIECE, MOST_PIECE_PER_PIXEL = 1 << 26, 6
"""Bytes of one unpacked strip, or of one row of tiles: at least, and for each pixel of the picture. A decoder takes
memory for a whole one. A picture of three 16-bit channels may be a single strip, as some programs write it."""


def read_tiff(data: bytes) -> Parts:
    """Find the parts of a TIFF's first page.

    The decoder gets another directory, made of the tags that decide the pixels and nothing else. So it never follows a
    chain of pages, and reads no metadata, whatever the file says.

    Raises:
        InvalidImage: the file is broken or truncated.
        UnsupportedImage: the first page is a preview, or of a kind that is not read.
        struct.error, IndexError: the file ends inside a field.
    """
    order, tags, tables = _page(data)
    layout = _layout(order, tags)
    if not (layout.width and layout.height) or max(layout.width, layout.height) > MAX_SIDE:
        return Parts((layout.height, layout.width), (), turned=1)  # the size alone makes it refused
    pieces = _pieces(data, tags, layout)
    turned = tags.get(directory.ORIENTATION, [1])[0]
    turned = turned if 1 <= turned <= 8 else 1
    size = (layout.height, layout.width)
    if layout.words:
        bands = _bands(layout, pieces)
        return Parts(
            size, (), bit_depth=layout.bits, turned=turned, stretched=True, bands=bands, piece_bytes=pieces.bytes
        )
    end = len(data) + len(data) % 2
    return Parts(
        size,
        ((8, len(data)),),
        bit_depth=layout.bits,
        turned=turned,
        head=(b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", end),
        tail=bytes(end - len(data)) + directory.written(order, end, _entries(tags, layout, pieces), tables),
        piece_bytes=pieces.bytes,
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the samples of a page are arranged, in the words of TIFF 6.0.

    Attributes:
        mode: Pillow's mode of the picture that the samples make, which may be fewer than there are.
        words: numpy's type of a sample of more than 8 bits, with its byte order; else empty.
    """

    width: int
    height: int
    bits: int
    format: int
    samples: int
    photometric: int
    compression: int
    predictor: int
    planar: bool
    mode: str
    words: str


@dataclass(frozen=True, slots=True)
class _Pieces:
    """The strips or tiles of a page. The last strip may be lower than the others.

    Attributes:
        width, height: of each, in pixels.
        across: how many stand side by side.
        bytes: of one strip, or of one row of tiles, unpacked.
    """

    tiled: bool
    width: int
    height: int
    across: int
    bytes: int
    offsets: Sequence[int]
    sizes: Sequence[int]


def _page(data: bytes) -> tuple[str, Tags, bytes]:
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
        if tag == directory.DNG:
            raise UnsupportedImage("raw photos of cameras (DNG) are not supported: send a developed picture")
        if tag == directory.JPEG_TABLES and kind in (1, 7) and 8 < count <= _MOST_JPEG_TABLES:
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


def _layout(order: str, tags: Tags) -> _Layout:
    if directory.WIDTH not in tags or directory.HEIGHT not in tags or directory.PHOTOMETRIC not in tags:
        raise InvalidImage("the TIFF is broken: it does not say how large its picture is, or in which colours")
    if tags.get(directory.SUBFILE, [0])[0] & 1:
        raise UnsupportedImage("the first page of the TIFF is a preview, as in raw photos: send the picture alone")
    photometric, samples = tags[directory.PHOTOMETRIC][0], tags.get(directory.SAMPLES, [1])[0]
    bits, formats = set(tags.get(directory.BITS, [1])), set(tags.get(directory.FORMAT, [_UNSIGNED]))
    compression = tags.get(directory.COMPRESSION, [_RAW])[0]
    predictor = tags.get(directory.PREDICTOR, [1])[0] if compression in _PREDICTED else 1
    mode = _MODES.get(photometric, "")
    if not mode or len(bits) > 1 or len(formats) > 1 or not len(mode) <= samples <= len(mode) + 3:
        raise UnsupportedImage("this kind of TIFF is not supported: its colours or samples are unusual")
    if compression not in _COMPRESSIONS:
        raise UnsupportedImage(f"this kind of TIFF is not supported: its compression is number {compression}")
    (depth,), (form,) = bits, formats
    if (compression in _FAX and depth != 1) or (compression == _JPEG and depth != 8):
        raise UnsupportedImage("this kind of TIFF is not supported: its compression does not suit its samples")
    if depth > 8:
        if samples > len(mode) and tags.get(directory.EXTRA, [0])[0] == _ALPHA and mode in ("L", "RGB"):
            mode += "A"
        words = _words(order, tags, mode, form, predictor)
        if predictor == _FLOAT and form == _FLOAT:
            words = ">" + words[1:]  # it puts the bytes of a float into this order
    else:
        words = ""
        if not _is_read(tags, photometric, form, depth):
            raise UnsupportedImage("this kind of TIFF is not supported: its samples are unusual")
    if photometric == _PALETTE and len(tags.get(directory.COLOURS, ())) != 3 << depth:
        raise InvalidImage("the TIFF is broken: its palette is missing or has the wrong length")
    return _Layout(
        width=tags[directory.WIDTH][0],
        height=tags[directory.HEIGHT][0],
        bits=depth,
        format=form,
        samples=samples,
        photometric=photometric,
        compression=compression,
        predictor=predictor,
        planar=tags.get(directory.PLANAR, [1])[0] == 2 and samples > 1,
        mode=mode,
        words=words,
    )


def _words(order: str, tags: Tags, mode: str, form: int, predictor: int) -> str:
    """Return numpy's type of samples of more than 8 bits.

    Raises:
        UnsupportedImage: they are of a kind that is not read.
    """
    depth = tags[directory.BITS][0]
    words = _WORDS.get((form, depth), "")
    if mode not in ("L", "LA", "RGB", "RGBA", "CMYK") or not words:
        raise UnsupportedImage(f"this kind of TIFF is not supported: its samples have {depth} bits")
    # Values beyond the usual make no alpha or ink: what its most is, no tag says.
    is_usual = words == "u2" or mode in ("L", "RGB")
    is_packed = words == "u12" and (mode != "L" or tags.get(directory.SAMPLES, [1])[0] > 1 or predictor != 1)
    is_turned = tags.get(directory.FILL_ORDER, [1])[0] != 1 or _ASSOCIATED_ALPHA in tags.get(directory.EXTRA, ())
    if not is_usual or is_packed or is_turned or predictor not in ((1, 2, 3) if form == _FLOAT else (1, 2)):
        raise UnsupportedImage("this kind of TIFF is not supported: its samples are unusual")
    return words if words == "u12" else order + words


def _is_read(tags: Tags, photometric: int, form: int, depth: int) -> bool:
    """Return whether Pillow reads samples of at most 8 bits of this kind."""
    samples = tags.get(directory.SAMPLES, [1])[0]
    if photometric == _YCBCR and tags.get(directory.COMPRESSION, [_RAW])[0] != _JPEG:
        return depth == 8 and tuple(tags.get(directory.SUBSAMPLING, (2, 2))) == (1, 1)
    if depth == 8:
        return form == _UNSIGNED or (form == _SIGNED and photometric == 1 and samples == 1)
    return depth in (1, 2, 4) and form == _UNSIGNED and samples == 1 and photometric in (*_GREYS, _PALETTE)


def _pieces(data: bytes, tags: Tags, layout: _Layout) -> _Pieces:
    """Return where all strips or tiles are. Each lies inside the file."""
    tiled = directory.TILES in tags
    if tiled:
        width, height = tags.get(directory.TILE_WIDTH, [0])[0], tags.get(directory.TILE_HEIGHT, [0])[0]
        offsets, sizes = tags[directory.TILES], tags.get(directory.TILE_SIZES, ())
        if not width * height:
            raise InvalidImage("the TIFF is broken: its tiles have no size")
    else:
        width, height = layout.width, min(tags.get(directory.ROWS, [layout.height])[0], layout.height)
        if directory.STRIPS not in tags or not height:
            raise InvalidImage("the TIFF is broken: it has no pixels")
        offsets, sizes = tags[directory.STRIPS], tags.get(directory.STRIP_SIZES, ())
    down, across = -(-layout.height // height), -(-layout.width // width)
    planes = layout.samples if layout.planar else 1
    row = (width * layout.bits * (layout.samples // planes) + 7) // 8
    count = down * across * planes
    if len(offsets) < count or count > MAX_PARTS:
        raise InvalidImage("the TIFF is truncated or broken: some of its strips or tiles are missing")
    offsets = offsets[:count]
    if layout.compression == _RAW:
        # What the last strip holds beyond the picture may be missing.
        rows = [height if tiled else min(height, layout.height - each % down * height) for each in range(count)]
        sizes = [row * each for each in rows]
    elif len(sizes) < count:
        raise InvalidImage("the TIFF is broken: the lengths of its strips or tiles are missing")
    sizes = sizes[:count]
    if any(offset + size > len(data) for offset, size in zip(offsets, sizes, strict=True)):
        raise InvalidImage("the TIFF is truncated: a part of its picture is missing")
    if sum(sizes) > 4 * len(data):
        raise InvalidImage("the TIFF is broken: its strips or tiles lie on top of each other")
    if layout.compression == _RAW and not tiled and row * height > BAND_BYTES:
        offsets, sizes, height = _lower(offsets, sizes, row, height, down)
    unpacked, most = row * height * across, max(MOST_PIECE, MOST_PIECE_PER_PIXEL * layout.height * layout.width)
    if unpacked > most:
        raise UnsupportedImage(
            f"this kind of TIFF is not supported: a {'row of its tiles' if tiled else 'strip'} unpacks to {unpacked}"
            f" bytes, and at most {most} are accepted. Write it with smaller ones, or without compression"
        )
    if down * height * across * width > 4 * layout.height * layout.width + _MOST_PADDING:
        raise InvalidImage("the TIFF is broken: its tiles cover far more than its picture")
    return _Pieces(tiled, width, height, across, unpacked, offsets, sizes)


_MOST_PADDING = 1 << 24
"""Pixels of tiles that may lie outside of a picture, beside three times as many as it has."""


def _lower(
    offsets: Sequence[int], sizes: Sequence[int], row: int, height: int, down: int
) -> tuple[list[int], list[int], int]:
    """Cut strips of raw samples into lower ones, and return their offsets, lengths and height.

    Args:
        row: bytes of a row.
        height: rows of a strip.
        down: strips of each plane.
    """
    lower = max(1, BAND_BYTES // row)
    while down > 1 and height % lower:  # only the last strip of all may be lower than the others
        lower -= 1
    if -(-height // lower) * len(offsets) > MAX_PARTS:
        return list(offsets), list(sizes), height
    pieces = [
        (offset + start, min(row * lower, size - start))
        for offset, size in zip(offsets, sizes, strict=True)
        for start in range(0, size, row * lower)
    ]
    return [offset for offset, _ in pieces], [size for _, size in pieces], lower


def _bands(layout: _Layout, pieces: _Pieces) -> Bands:
    """Return the samples as bands, without the planes that the picture does not need."""
    planes = layout.samples if layout.planar else 1
    needed = min(planes, len(layout.mode)) * (len(pieces.offsets) // planes)
    return Bands(
        size=(layout.height, layout.width),
        words=layout.words,
        channels=1 if layout.planar else layout.samples,
        mode=layout.mode,
        inverted=layout.photometric == 0,
        predictor=layout.predictor,
        compression=layout.compression,
        tiled=pieces.tiled,
        piece_width=pieces.width,
        piece_height=pieces.height,
        across=pieces.across,
        offsets=pieces.offsets[:needed],
        sizes=pieces.sizes[:needed],
    )


def _entries(tags: Tags, layout: _Layout, pieces: _Pieces) -> dict[int, Sequence[int]]:
    """Return the tags that a decoder needs."""
    entries = {tag: values for tag, values in tags.items() if tag not in (directory.SUBFILE, directory.ORIENTATION)}
    if pieces.tiled:
        for tag in (directory.STRIPS, directory.STRIP_SIZES, directory.ROWS):
            entries.pop(tag, None)
        entries[directory.TILES], entries[directory.TILE_SIZES] = pieces.offsets, pieces.sizes
    else:
        entries[directory.STRIPS], entries[directory.STRIP_SIZES] = pieces.offsets, pieces.sizes
        entries[directory.ROWS] = [pieces.height]
    entries[directory.SAMPLES], entries[directory.BITS] = [layout.samples], [layout.bits] * layout.samples
    entries[directory.FORMAT], entries[directory.COMPRESSION] = [layout.format] * layout.samples, [layout.compression]
    if not layout.planar:
        entries.pop(directory.PLANAR, None)
    return entries
