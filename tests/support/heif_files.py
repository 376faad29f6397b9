"""AVIF and HEIC files whose picture is a grid of tiles, as phones write them. Source: ISO/IEC 23008-12."""

from __future__ import annotations

import struct

from shared.images.formats import heif


def grid_of(tiles: list[bytes], kind: str, *, columns: int, width: int, height: int) -> bytes:
    """Return a file whose picture is made of the pictures of other files, in rows."""
    codec, configuration = (b"av01", b"av1C") if kind == "AVIF" else (b"hvc1", b"hvcC")
    parts = [_primary(tile) for tile in tiles]
    rows = len(tiles) // columns
    bodies = [struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, width, height), *(body for body, _, _ in parts)]
    _, record, (tile_height, tile_width) = parts[0]
    numbers = range(1, len(bodies) + 1)
    entries = [_full(b"infe", 2, struct.pack(">HH4sB", n, 0, b"grid" if n == 1 else codec, 0)) for n in numbers]
    properties = [
        _full(b"ispe", 0, struct.pack(">II", width, height)),
        _full(b"ispe", 0, struct.pack(">II", tile_width, tile_height)),
        _box(configuration, record),
        _full(b"pixi", 0, bytes([3, 8, 8, 8])),
    ]
    links = [struct.pack(">HBBB", 1, 2, 1, 4)] + [struct.pack(">HBBBB", n, 3, 2, 0x80 | 3, 4) for n in numbers[1:]]
    references = _box(b"dimg", struct.pack(f">HH{len(tiles)}H", 1, len(tiles), *numbers[1:]))

    def meta(start: int) -> bytes:
        places = []
        for number, body in zip(numbers, bodies, strict=True):
            places.append(struct.pack(">HHHII", number, 0, 1, start, len(body)))
            start += len(body)
        return _full(
            b"meta",
            0,
            _full(b"hdlr", 0, struct.pack(">I4s12xB", 0, b"pict", 0))
            + _full(b"pitm", 0, struct.pack(">H", 1))
            + _full(b"iloc", 0, struct.pack(">HH", 0x4400, len(bodies)) + b"".join(places))
            + _full(b"iinf", 0, struct.pack(">H", len(bodies)) + b"".join(entries))
            + _full(b"iref", 0, references)
            + _box(
                b"iprp",
                _box(b"ipco", b"".join(properties))
                + _full(b"ipma", 0, struct.pack(">I", len(links)) + b"".join(links)),
            ),
        )

    brands = (b"avif", b"mif1miaf") if kind == "AVIF" else (b"heic", b"mif1")
    head = _box(b"ftyp", brands[0] + bytes(4) + brands[0] + brands[1])
    start = len(head) + len(meta(0)) + 8
    return head + meta(start) + _box(b"mdat", b"".join(bodies))


def _primary(data: bytes) -> tuple[bytes, bytes, tuple[int, int]]:
    """Return the data, the codec's configuration and the (height, width) of a file's picture."""
    (meta,) = ((start, end) for name, start, end in heif._boxes(data, 0, len(data)) if name == b"meta")
    file = heif._file(data, *meta)
    item = file.items[file.primary]
    assert item.stored is not None
    return b"".join(data[start:stop] for start, stop in item.extents), bytes(item.record), item.stored


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def _full(name: bytes, version: int, content: bytes) -> bytes:
    return _box(name, struct.pack(">I", version << 24) + content)
