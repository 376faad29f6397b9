"""A mask as the run-length encoding of Label Studio's brush, straight from its runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns, odd_ones

_CHANNELS = 4
"""A brush stores RGBA, and a mask is all four alike."""

_VALUE_BITS = 8
_LENGTH_BITS = (3, 4, 8, 16)
"""Widths a run's length may be written in; a header of the encoding says which."""

_LONGEST = 1 << _LENGTH_BITS[-1]

Ints = NDArray[np.int64]


def encode_brush(runs: ColumnRuns) -> list[int]:
    """The bytes of `value.rle`: 255 inside the mask, 0 outside, row by row, each pixel four times.

    Byte for byte what `label_studio_sdk.converter.brush.mask2rle` writes for the same mask.

    Source: thi.ng/umbrella, packages/rle-pack: 32 bits of how many values, 5 of the bits in one less 1, 4 of each
    length's less 1; then runs: a bit 1, 2 bits of which length, the length less 1, the value.
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
"""(2, 6): the header's numbers, the first to be filled in, and the bits of each."""


def _row_runs(runs: ColumnRuns) -> tuple[Ints, Ints]:
    """Lengths of the runs of like pixels along the rows, none of them 0, and whether each lies in the mask (0 or 1)."""
    height, width = runs.size
    places = height + 1
    # A pixel's right neighbour differs from it where one of their columns is covered and the other is not.
    starts, ends = (runs.x * places + y for y in (runs.top, runs.bottom))
    edges = odd_ones(np.sort(np.concatenate([starts, ends, starts + places, ends + places])))
    first, last = edges[::2], edges[1::2]
    x = first // places
    count = last - first
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    changes = np.repeat((first - x * places) * width + x, count) + within * width
    # The end of a row and the start of the next are one place.
    changes = odd_ones(np.sort(changes))
    bounds = np.concatenate([[0], changes, [height * width]])
    lengths = np.diff(bounds)
    inside = np.arange(len(lengths)) & 1
    return lengths[lengths > 0], inside[lengths > 0]


def _split(lengths: Ints, inside: Ints) -> tuple[Ints, Ints]:
    """The same with runs longer than can be written cut in pieces, each but the last of the greatest length."""
    pieces = -(-lengths // _LONGEST)
    whole = np.repeat(np.full_like(lengths, _LONGEST), pieces)
    whole[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * _LONGEST
    return whole, np.repeat(inside, pieces)


def _packed(words: Ints, widths: Ints) -> NDArray[np.uint8]:
    """Numbers of at most 32 bits one after the other, each in its width, highest bit first; then a bit or more of 0."""
    start = np.cumsum(widths) - widths
    total = int(widths.sum())
    byte = start >> 3
    shifted = words.astype(np.uint64) << (40 - (start & 7) - widths).astype(np.uint64)
    out = np.zeros(total // 8 + 1 + 5, dtype=np.uint8)
    for number in range(5):
        # Adding is or-ing here, as no bit is written twice.
        np.add.at(out, byte + number, (shifted >> np.uint64(32 - 8 * number)).astype(np.uint8))
    return out[: total // 8 + 1]
