"""An envelope for stored values: versioned bytes with a header that describes the payload, and a checksum.

    magic "SAMc" | version u8 | kind u8 | header length u16 | CRC-32 u32 | header, JSON | payload

All integers are little-endian. The CRC covers every other byte. CRC-32 finds any damage up to 32 bits long, and misses
one in four billion of longer damages. It costs half as much as SHA-256, and it only has to find damage, not forgery.
"""

from __future__ import annotations

import json
import struct
import zlib
from enum import IntEnum
from typing import Any

from shared.contract.errors import DamagedEmbedding

_MAGIC = b"SAMc"
_VERSION = 2
"""Version 1 held an embedding of one tensor. Its values are refused as damaged, so their images are encoded again."""
_PREFIX = struct.Struct("<4sBBH")
_CRC = struct.Struct("<I")
_START = _PREFIX.size + _CRC.size


class ValueKind(IntEnum):
    """The kind of a payload."""

    EMBEDDING = 1
    LOGITS = 2
    EVERYTHING = 3


def seal(kind: ValueKind, header: dict[str, Any], *payload: bytes | memoryview) -> bytes:
    """Put a payload into an envelope. It may come in parts, which are copied once.

    Args:
        header: JSON-serialisable and short.
    """
    text = json.dumps(header, separators=(",", ":")).encode()
    prefix = _PREFIX.pack(_MAGIC, _VERSION, kind, len(text))
    crc = zlib.crc32(text, zlib.crc32(prefix))
    for part in payload:
        crc = zlib.crc32(part, crc)
    return b"".join((prefix, _CRC.pack(crc), text, *payload))


def unseal(kind: ValueKind, data: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return (header, payload) of a complete and unchanged envelope. The payload is a view of `data`.

    Raises:
        DamagedEmbedding: `data` is cut, changed, or of another kind or version.
    """
    view = memoryview(data)
    if len(view) < _START:
        raise DamagedEmbedding("the stored value is cut")
    (crc,) = _CRC.unpack_from(view, _PREFIX.size)
    if zlib.crc32(view[_START:], zlib.crc32(view[: _PREFIX.size])) != crc:
        raise DamagedEmbedding("the stored value is damaged: its checksum does not match")
    magic, version, actual_kind, length = _PREFIX.unpack_from(view)
    if (magic, version, actual_kind) != (_MAGIC, _VERSION, kind):
        raise DamagedEmbedding("the stored value is of another kind or version")
    try:
        header = json.loads(bytes(view[_START : _START + length]))
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise DamagedEmbedding("the stored value has no readable header")
    return header, view[_START + length :]
