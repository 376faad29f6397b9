"""Runs MobileSAM's encoder in OpenVINO, without the padding of the frame where that saves something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openvino import Model

from encoder_worker.backends.onnx.cut_frame import FRAME, cut_for
from encoder_worker.backends.onnx.tiny_vit import TinyVit

Request = Any
"""A compiled graph, as OpenVINO's `InferRequest`."""


class UnpaddedEncoder:
    """Encodes one image at a time. Not thread-safe."""

    def __init__(self, graphs: TinyVit, compiled: Callable[[Model], Request]) -> None:
        empty = compiled(graphs.empty()).infer([np.zeros((1, 3, FRAME, FRAME), np.float32)])
        self._empty = [np.array(empty[index]) for index in range(len(empty))]
        self._first_half = {
            None: compiled(graphs.whole()),
            1: compiled(graphs.cut(1)),
            2: compiled(graphs.cut(2)),
        }
        self._last: int | None = None
        self._second_half = compiled(graphs.second_half())

    def encode(self, frame: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """
        Args:
            frame: (1, 3, 1024, 1024), zero from row `height` and from column `width` on.

        Returns:
            (1, 256, 64, 64), which the next call overwrites.
        """
        embedding: NDArray[np.float32] = _result(self._second_half, self._features(frame, height, width))
        return embedding

    def _features(self, frame: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        axis, side = (1, height) if height <= width else (2, width)
        cut = cut_for(side)
        if cut is None:
            return _result(self._using(None), frame)
        part = frame[:, :, : cut.size] if axis == 1 else frame[:, :, :, : cut.size]
        blank = [
            one[:, first:end] if axis == 1 else one[:, :, first:end]
            for one, (first, end) in zip(self._empty, cut.blank, strict=True)
        ]
        return _result(self._using(axis), part, *blank)

    def _using(self, axis: int | None) -> Request:
        """The first half for a cut along this axis. The one used before, if another, gives its memory back."""
        if axis != self._last:
            self._first_half[self._last].get_compiled_model().release_memory()
            self._last = axis
        return self._first_half[axis]


def _result(request: Request, *inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    contiguous = [np.ascontiguousarray(one) for one in inputs]
    result: NDArray[np.float32] = request.infer(contiguous, share_inputs=True, share_outputs=True)[0]
    return result
