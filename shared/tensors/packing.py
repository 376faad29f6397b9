"""Packs arrays into compact bytes and unpacks them fast. Only the first elements are compressed (deflated)."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.contract.errors import DamagedEmbedding

FLOAT16_MAX = np.float32(65504)

Buffer = bytes | memoryview
"""Bytes that somebody else may own."""

_MOST_BITS, _SIGN = 0x7BFF, 0x8000
"""The bits of float16's greatest number, and its sign. Infinities and NaN have greater bits."""

_DEFLATED = 32_768
"""Number of elements at the start that are deflated. A float16 embedding has exactly 2 MiB and an int8 one 1 MiB. With
the header added, Redis would round the size up by a quarter. Deflating this part takes a quarter of a millisecond and
keeps the value below that limit. Deflating all of a float16 embedding would save 0.35 MiB more, but cost 25 ms to write
and 5.5 ms to read."""


def pack(array: NDArray[Any]) -> bytes:
    """Return the parts of `packed_parts` as one."""
    return b"".join(packed_parts(array))


def packed_parts(array: NDArray[Any]) -> list[Buffer]:
    """Pack an array as: length u32 | first elements as deflated byte planes | the other elements unchanged.

    Only the planes of sign and exponent shrink. Data that does not shrink grows by a few bytes.

    Returns:
        The parts in order. The last one is the memory of `array` itself if that is contiguous.
    """
    flat = np.ascontiguousarray(array).reshape(-1)
    head, rest = flat[:_DEFLATED], flat[_DEFLATED:]
    planes = head.view(np.uint8).reshape(-1, flat.itemsize).T
    # Exponents do not repeat in patterns. A search for patterns takes four times as long and finds less than Huffman's
    # code alone; runs of one number are found too.
    deflater = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, zlib.DEF_MEM_LEVEL, zlib.Z_RLE)
    deflated = deflater.compress(planes.tobytes()) + deflater.flush()
    return [struct.pack("<I", len(deflated)), deflated, rest.view(np.uint8).data]


def is_storable(array: NDArray[np.floating]) -> bool:
    """Return whether all numbers of a float32 or float16 array are finite and within the range of float16."""
    if array.dtype == np.float16:
        # In numpy float16 is slow. Its bits, taken as whole numbers, rise with the number's size, above those of the
        # sign: the greatest signed one is of a positive number, the greatest unsigned one of a negative number.
        bits = array.view(np.int16)
        return bool(bits.max() <= _MOST_BITS and array.view(np.uint16).max() <= _MOST_BITS + _SIGN)
    return bool(array.max() <= FLOAT16_MAX and array.min() >= -FLOAT16_MAX)


def unpack(payload: memoryview, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the array that `pack` packed, as a new, writeable array.

    Raises:
        DamagedEmbedding: `payload` cannot be inflated or has the wrong number of bytes.
    """
    array = np.empty(shape, dtype)
    flat = array.reshape(-1)
    head, rest = flat[:_DEFLATED], flat[_DEFLATED:]
    try:
        (length,) = struct.unpack_from("<I", payload)
        planes = zlib.decompressobj().decompress(payload[4 : 4 + length], head.nbytes + 1)
    except (struct.error, zlib.error) as error:
        raise DamagedEmbedding(f"the stored numbers cannot be unpacked: {error}") from error
    plain = payload[4 + length :]
    if len(planes) != head.nbytes or len(plain) != rest.nbytes:
        raise DamagedEmbedding("there are more or fewer numbers stored than the shape says")
    head.view(np.uint8).reshape(-1, dtype.itemsize)[:] = np.frombuffer(planes, np.uint8).reshape(dtype.itemsize, -1).T
    rest[:] = np.frombuffer(plain, dtype)
    return array


def widen(half: NDArray[np.float16]) -> NDArray[np.float32]:
    """Convert float16 to float32, six times faster than numpy's cast (0.5 ms instead of 3 ms). Finite values are exact.

    The bits are moved into float32's fields, and one multiplication corrects the exponent's bias. Infinities and NaN
    would become finite numbers from 65536 up, so such numbers are refused.

    Raises:
        DamagedEmbedding: a number is infinite or NaN.
    """
    bits = half.view("<i2").astype(np.int32)
    bits <<= 13
    bits &= np.int32(-0x7000_2000)  # the sign, and the 15 bits below it moved up
    values: NDArray[np.float32] = bits.view(np.float32)
    values *= np.float32(2.0**112)
    if values.max() > FLOAT16_MAX or values.min() < -FLOAT16_MAX:
        raise DamagedEmbedding("the stored numbers are not finite")
    return values
