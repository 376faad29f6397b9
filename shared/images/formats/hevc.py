"""The size that HEVC data claims in its sequence parameter sets. Sources: ITU-T H.265, sections 7.3.1 and 7.3.2;
ISO/IEC 14496-15, section 8.3 (`hvcC`)."""

from __future__ import annotations

import struct

from shared.contract.errors import InvalidImage
from shared.contract.geometry import Size
from shared.images.formats.bits import Bits

_SEQUENCE_PARAMETERS = 33
_LONGEST_HEADER = 512
"""Bytes of a parameter set that are read. The size stands in the first hundred."""


def configured_sizes(record: bytes, *, most: int) -> list[Size]:
    """Return the (height, width) by each sequence parameter set of an `hvcC` record.

    Raises:
        InvalidImage: the record has more than `most` parameter sets.
        struct.error, IndexError: the record ends inside a field.
    """
    sizes: list[Size] = []
    position = 23
    for _ in range(record[22]):
        kind, count = struct.unpack_from(">BH", record, position)
        position += 3
        most -= count
        if most < 0:
            raise InvalidImage("the HEIC is broken: it has too many parameter sets")
        for _ in range(count):
            (length,) = struct.unpack_from(">H", record, position)
            if kind & 63 == _SEQUENCE_PARAMETERS:
                sizes.append(_size(record[position + 2 : position + 2 + min(length, _LONGEST_HEADER)]))
            position += 2 + length
    return sizes


def coded_sizes(data: bytes, record: bytes, *, most: int) -> list[Size]:
    """Return the sizes by the parameter sets that stand in the picture's data itself. There should be none.

    Raises:
        InvalidImage: the data is broken, or has more than `most` parts.
        struct.error, IndexError: the data ends inside a field.
    """
    prefix = (record[21] & 3) + 1
    sizes: list[Size] = []
    position = 0
    for _ in range(most + 1):
        if position >= len(data):
            return sizes
        start = position + prefix
        length = int.from_bytes(data[position:start], "big")
        if start + length > len(data):
            raise InvalidImage("the HEIC is truncated or broken: a part of its picture does not fit")
        if length and data[start] >> 1 & 63 == _SEQUENCE_PARAMETERS:
            sizes.append(_size(data[start : start + min(length, _LONGEST_HEADER)]))
        position = start + length
    raise InvalidImage(f"the HEIC is broken: its picture has more than {most} parts")


def _size(unit: bytes) -> Size:
    # 00 00 03 stands for 00 00: the third byte keeps the data free of start codes.
    bits = Bits(unit[2:].replace(b"\0\0\3", b"\0\0"))
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + 88 + 8)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for profile, level in present:
        bits.take(88 * profile + 8 * level)
    bits.golomb()
    if bits.golomb() == 3:  # 4:4:4
        bits.take(1)
    width = bits.golomb()
    return bits.golomb(), width
