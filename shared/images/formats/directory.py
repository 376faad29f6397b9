"""Writes the directory of a TIFF: the tags that say how its pixels are stored. Source: TIFF 6.0, section 2."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

(
    SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIPS, ORIENTATION, SAMPLES, ROWS,
    STRIP_SIZES, PLANAR, GROUP3, GROUP4, PREDICTOR, COLOURS, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_SIZES, EXTRA, FORMAT,
    JPEG_TABLES, SUBSAMPLING, DNG,
) = (
    254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278,
    279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 338, 339,
    347, 530, 50706,
)  # fmt: skip
"""The tags that are read or written, in the words of TIFF 6.0."""

Tags = Mapping[int, Sequence[int]]
"""The numbers of each tag."""

_SHORTS = frozenset({BITS, FORMAT, EXTRA, COLOURS, SUBSAMPLING})


def written(order: str, start: int, tags: Tags, jpeg_tables: bytes = b"") -> bytes:
    """Return a directory without a next page, with its values behind it.

    Args:
        order: `<` or `>`, the byte order as in `struct`.
        start: the offset in the file at which the directory will stand.
    """
    values = {tag: struct.pack(f"{order}{len(numbers)}I", *numbers) for tag, numbers in tags.items()}
    kinds = {tag: (4, len(numbers)) for tag, numbers in tags.items()}
    for tag in tags.keys() & _SHORTS:
        values[tag] = struct.pack(f"{order}{len(tags[tag])}H", *tags[tag])
        kinds[tag] = (3, len(tags[tag]))
    if jpeg_tables:
        values[JPEG_TABLES], kinds[JPEG_TABLES] = jpeg_tables, (7, len(jpeg_tables))
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
