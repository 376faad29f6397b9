"""A mask as a 1-bit greyscale PNG, written from its runs without an array of single pixels."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from prompt_api.masks.runs import ColumnRuns

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LEVEL = 1
"""The fastest level of deflate: masks shrink well at any level, and this step takes the most time on large images."""


def encode_png(runs: ColumnRuns) -> bytes:
    """Return a PNG of the mask's size, bit depth 1, greyscale: 1 (white) inside, 0 (black) outside.

    Source: ISO/IEC 15948 (PNG), sections 11.2.2 and 12.
    """
    height, width = runs.size
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = zlib.compress(_packed_rows(runs), _LEVEL)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def _packed_rows(runs: ColumnRuns) -> bytes:
    """Return the rows in PNG layout: a filter byte of 0, then eight pixels a byte, the leftmost in the highest bit."""
    height, width = runs.size
    used = 1 + (width + 7) // 8
    words = np.zeros((height + 1, (used + 7) // 8), dtype=np.uint64)
    rows = words.view(np.uint8)
    byte = 1 + (runs.x >> 3)
    bit = (128 >> (runs.x & 7)).astype(np.uint8)
    # No bit is set twice, so adding gives the same as OR, and numpy adds faster.
    for y in (runs.top, runs.bottom):
        np.add.at(rows.reshape(-1), y * rows.shape[1] + byte, bit)
    # Each bit now marks a change of the mask. XOR down the rows fills the mask; over whole words it is eight times
    # faster.
    np.bitwise_xor.accumulate(words, axis=0, out=words)
    return rows[:height, :used].tobytes()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
