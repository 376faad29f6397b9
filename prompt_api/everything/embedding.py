"""A decoder, bound to an embedding, as the generator takes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.interface import DecodedMasks, LoadedDecoder
from shared.contract.geometry import Size


class EmbeddedCrop:
    """A `CropImage` on the embedding of an image or of a region."""

    def __init__(self, loaded: LoadedDecoder, tensors: Mapping[str, NDArray[np.float32]], size: Size) -> None:
        """Args:
        loaded: the model that made the embedding.
        tensors: the embedding, by the names and shapes of the model's architecture.
        size: (height, width) of the crop in pixels of the original.
        """
        self._decoder = loaded.decoder
        self._architecture = loaded.model.architecture
        self._size = size
        self._image: Any = self._decoder.prepare(tensors, size)

    def decode(self, points: NDArray[np.float64], least_score: float) -> Iterator[DecodedMasks]:
        return self._decoder.decode_points(self._image, self._in_frame(points), least_score)

    def mask_runs(self, logits: NDArray[np.float32]) -> ColumnRuns:
        return self._decoder.mask_runs(logits, self._size)

    def areas_above(self, logits: NDArray[np.float32], thresholds: NDArray[np.float32]) -> NDArray[np.int64]:
        return self._decoder.areas_above(logits, thresholds, self._size)

    def logits_at(self, logits: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float32]:
        side = self._architecture.low_res_side
        scaled = self._in_frame(points) * (side / self._architecture.frame.side)
        x, y = np.floor(scaled).astype(np.int64).clip(0, side - 1).T
        return np.asarray(logits[y, x])

    def _in_frame(self, points: NDArray[np.float64]) -> NDArray[np.float32]:
        return self._architecture.frame.points(points, self._size)
