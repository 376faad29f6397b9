"""The first directory of a TIFF structure inside an image file: EXIF's orientation or a multi-picture index.

Some cameras and editors write broken EXIF. Pillow's reader warns and raises on it; this reader never fails.
Source: TIFF 6.0, section 2; Exif 2.32, section 4.6.4.
"""

from __future__ import annotations

import struct

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
