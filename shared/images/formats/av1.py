"""The size that AV1 data claims in its sequence headers. Source: AV1 Bitstream Specification, sections 5.3 to 5.5."""

from __future__ import annotations

from shared.contract.errors import InvalidImage
from shared.contract.geometry import Size
from shared.images.formats.bits import Bits

_SEQUENCE_HEADER = 1
_LONGEST_HEADER = 512
"""Bytes of a sequence header that are read: 32 operating points take fewer."""


def coded_sizes(data: bytes, *, most: int) -> list[Size]:
    """Return the largest (height, width) of a frame by each sequence header, in order.

    Raises:
        InvalidImage: the data is broken, or has more than `most` parts.
        IndexError: the data ends inside a field.
    """
    sizes: list[Size] = []
    position = 0
    for _ in range(most + 1):
        if position >= len(data):
            return sizes
        header = data[position]
        position += 2 if header & 4 else 1
        if header & 2:
            length, position = _leb128(data, position)
        else:
            length = len(data) - position
        if header & 0x80 or position + length > len(data):
            raise InvalidImage("the AVIF is truncated or broken: a part of its picture does not fit")
        if header >> 3 & 15 == _SEQUENCE_HEADER:
            sizes.append(_size(Bits(data[position : position + min(length, _LONGEST_HEADER)])))
        position += length
    raise InvalidImage(f"the AVIF is broken: its picture has more than {most} parts")


def _leb128(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for number in range(8):
        byte = data[position + number]
        value |= (byte & 0x7F) << 7 * number
        if byte < 0x80:
            return value, position + number + 1
    raise InvalidImage("the AVIF is broken: a length has too many bytes")


def _size(bits: Bits) -> Size:
    bits.take(4)  # profile, still picture
    if bits.take(1):  # reduced still picture header
        bits.take(5)
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    width, height = bits.take(width_bits) + 1, bits.take(height_bits) + 1
    return height, width


def _skip_operating_points(bits: Bits) -> None:
    delay_bits = 0
    if bits.take(1):  # timing info
        bits.take(64)
        if bits.take(1):
            bits.golomb()
        if bits.take(1):  # decoder model info
            delay_bits = bits.take(5) + 1
            bits.take(42)
    display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if display_delay and bits.take(1):
            bits.take(4)
