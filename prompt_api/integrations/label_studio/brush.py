"""Writes a mask in the run-length encoding of Label Studio's brush, directly from its runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns, odd_ones

_CHANNELS = 4
"""A brush stores RGBA. For a mask, all four channels are equal."""

_VALUE_BITS = 8
_LENGTH_BITS = (3, 4, 8, 16)
"""Bit widths for the length of a run. The header of the encoding lists them."""

_LONGEST = 1 << _LENGTH_BITS[-1]

Ints = NDArray[np.int64]


def encode_brush(runs: ColumnRuns) -> list[int]:
    """Return the bytes of `value.rle`: 255 inside the mask and 0 outside, row by row, four times for each pixel.

    They are the same bytes that `label_studio_sdk.converter.brush.mask2rle` writes for the same mask.

    The header has the number of values in 32 bits, the bits per value minus 1 in 5 bits, and the four length widths
    minus 1 in 4 bits each. Then come the runs: a bit 1, the index of the length width in 2 bits, the length minus 1,
    and the value.

    Source: thi.ng/umbrella, packages/rle-pack.
    """
    height, width = runs.size
    lengths, inside = _row_runs(runs)
    lengths, inside = _split(lengths * _CHANNELS, inside)
    size = np.searchsorted([1 << bits for bits in _LENGTH_BITS], lengths)
    length_bits = np.array(_LENGTH_BITS)[size]
    words = ((4 + size) << length_bits | lengths - 1) << _VALUE_BITS | inside * 255
    header = _HEADER_WORDS.copy()
    header[0, 0] = height * width * _CHANNELS
    packed = _packed(np.concatenate([header[0], words]), np.concatenate([header[1], 3 + length_bits + _VALUE_BITS]))
    return [*packed.tobytes()]


_HEADER_WORDS = np.array(
    [[0, _VALUE_BITS - 1, *(bits - 1 for bits in _LENGTH_BITS)], [32, 5, *(4 for _ in _LENGTH_BITS)]], dtype=np.int64
)
"""(2, 6): the numbers of the header and the bits of each. `encode_brush` fills in the first number."""


def _row_runs(runs: ColumnRuns) -> tuple[Ints, Ints]:
    """Return the lengths of the runs of equal pixels along the rows, and whether each is in the mask (0 or 1).

    No length is 0.
    """
    height, width = runs.size
    places = height + 1
    # Two horizontal neighbours differ if the mask covers exactly one of them.
    starts, ends = (runs.x * places + y for y in (runs.top, runs.bottom))
    edges = odd_ones(np.sort(np.concatenate([starts, ends, starts + places, ends + places])))
    first, last = edges[::2], edges[1::2]
    x = first // places
    count = last - first
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    changes = np.repeat((first - x * places) * width + x, count) + within * width
    # The end of a row is the start of the next one, so changes in both cancel out.
    changes = odd_ones(np.sort(changes))
    bounds = np.concatenate([[0], changes, [height * width]])
    lengths = np.diff(bounds)
    inside = np.arange(len(lengths)) & 1
    return lengths[lengths > 0], inside[lengths > 0]


def _split(lengths: Ints, inside: Ints) -> tuple[Ints, Ints]:
    """Cut runs that are too long to write into pieces. All pieces of a run but the last have the greatest length."""
    pieces = -(-lengths // _LONGEST)
    whole = np.repeat(np.full_like(lengths, _LONGEST), pieces)
    whole[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * _LONGEST
    return whole, np.repeat(inside, pieces)


def _packed(words: Ints, widths: Ints) -> NDArray[np.uint8]:
    """Write numbers of at most 32 bits one after the other, each in its width, highest bit first.

    At least one bit 0 follows the last number.
    """
    start = np.cumsum(widths) - widths
    total = int(widths.sum())
    byte = start >> 3
    shifted = words.astype(np.uint64) << (40 - (start & 7) - widths).astype(np.uint64)
    out = np.zeros(total // 8 + 1 + 5, dtype=np.uint8)
    for number in range(5):
        # Adding equals a bitwise or here, because no bit is written twice.
        np.add.at(out, byte + number, (shifted >> np.uint64(32 - 8 * number)).astype(np.uint8))
    return out[: total // 8 + 1]
