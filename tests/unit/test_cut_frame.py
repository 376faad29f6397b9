"""Which rows of MobileSAM's features an image can change, and the cuts that follow from it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder_worker.backends.onnx.cut_frame import FRAME, WINDOW, Cut, cut_for

Touched = NDArray[np.bool_]
"""For each row: can the image change it?"""


def convolved(touched: Touched, stride: int = 1) -> Touched:
    """Rows of a convolution of 3x3 with a padding of one."""
    padded = np.pad(touched, 1)
    return (padded[:-2] | padded[1:-1] | padded[2:])[::stride]


def attended(touched: Touched) -> Touched:
    windows = np.pad(touched, (0, -len(touched) % WINDOW)).reshape(-1, WINDOW).any(axis=1)
    return np.repeat(windows, WINDOW)[: len(touched)]


def places(rows: int) -> list[Touched]:
    """The touched rows at each place where the cut network appends rows of the empty frame."""
    touched = np.arange(FRAME) < rows
    for stride in (2, 2, 1, 1, 2):
        touched = convolved(touched, stride)
    found = []
    for _ in range(2):
        inside = attended(touched)
        found += [touched, inside]
        touched = convolved(inside)
    return [*found, touched, convolved(touched, 2)]


def cuts() -> list[tuple[int, Cut]]:
    found = [(rows, cut_for(rows)) for rows in range(1, FRAME + 1)]
    return [(rows, cut) for rows, cut in found if cut is not None]


def test_no_row_is_taken_from_the_empty_frame_that_the_image_can_change() -> None:
    for rows, cut in cuts():
        assert rows < cut.size < FRAME
        for touched, (first, end) in zip(places(rows), cut.blank, strict=True):
            assert 0 < first < end <= len(touched)
            assert not touched[first:].any()


def test_usual_photos_are_cut_and_squares_are_not() -> None:
    sizes = [cut.size if cut else None for cut in map(cut_for, (1, 576, 683, 768, FRAME))]
    assert sizes == [24, 600, 712, 792, None]


@pytest.mark.parametrize("rows", [960, 1000, FRAME - 1])
def test_an_image_that_almost_fills_the_frame_is_not_cut(rows: int) -> None:
    assert cut_for(rows) is None
