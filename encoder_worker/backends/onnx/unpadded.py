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
        self._whole = compiled(graphs.whole())
        self._cut = {axis: compiled(graphs.cut(axis)) for axis in (1, 2)}
        self._second_half = compiled(graphs.second_half())
        for size in ((FRAME // 2, FRAME), (FRAME, FRAME // 2)):  # the first run takes longer
            self._features(np.zeros((1, 3, FRAME, FRAME), np.float32), *size)

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
            return _result(self._whole, frame)
        part = frame[:, :, : cut.size] if axis == 1 else frame[:, :, :, : cut.size]
        blank = [
            one[:, first:end] if axis == 1 else one[:, :, first:end]
            for one, (first, end) in zip(self._empty, cut.blank, strict=True)
        ]
        return _result(self._cut[axis], part, *blank)


def _result(request: Request, *inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    contiguous = [np.ascontiguousarray(one) for one in inputs]
    result: NDArray[np.float32] = request.infer(contiguous, share_inputs=True, share_outputs=True)[0]
    return result
