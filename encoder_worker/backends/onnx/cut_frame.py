"""How much of SAM's frame an image fills, and which rows of MobileSAM's features follow from its padding alone.

Below the image (or right of it) the frame is zero. A layer sees only some rows further than the layer before it, so all
rows far enough below the image are those of an empty frame. They are computed once. Widths are counted the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

FRAME = 1024
WINDOW = 7
"""Rows of a window of attention in the layer that is cut."""

_STRIDES = (2, 2, 1, 1, 2)
"""Of the convolutions of 3x3 before that layer. Those of 1x1 see no other row."""

_ROWS = FRAME // 8
_ROWS_AFTER = FRAME // 16


@dataclass(frozen=True, slots=True)
class Cut:
    """How to encode an image that fills only a part of the frame.

    Attributes:
        size: rows of the frame to read; the last of them are zero.
        blank: for each place where rows of the empty frame are appended, the first of them and the one after the last.
    """

    size: int
    blank: tuple[tuple[int, int], ...]


def cut_for(rows: int) -> Cut | None:
    """Return the cut for an image of so many rows in the frame, or None if it must be encoded as a whole.

    The places are: before the attention and before the 3x3 convolution of each of two blocks, before the convolution
    that halves the rows, and after it. Every piece has at least one row.
    """
    for stride in _STRIDES:
        rows = rows // stride + 1
    size = 8 * (rows + 1)  # the last of the rows is wrong, because the frame ends there, and is left out
    blank = []
    for _ in range(2):
        windows = (rows // WINDOW + 1) * WINDOW
        blank += [(rows, windows), (windows, windows + 2)]
        rows = windows + 1
    halved = rows // 2 + 1
    blank += [(rows, 2 * halved), (halved, _ROWS_AFTER)]
    fits = size < FRAME and all(0 <= first < end for first, end in blank) and blank[3][1] <= _ROWS
    return Cut(size, tuple(blank)) if fits else None
