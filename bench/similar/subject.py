"""MobileSAM in this process: pictures become embeddings that the search and its baseline take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoder_worker.backends.load import load_encoder
from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.interface import LoadedDecoder, Prompt
from prompt_api.models.load import load_decoder
from prompt_api.similar.features import image_features
from prompt_api.similar.interface import ImageFeatures
from shared.contract.geometry import Size
from shared.contract.models import MOBILE_SAM
from shared.contract.settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A picture as the search takes it: what the decoder keeps of it, and its features."""

    prepared: Any
    features: ImageFeatures

    @property
    def size(self) -> Size:
        return self.features.size


class Subject:
    """The model under test, with its encoder."""

    def __init__(self, settings: Settings) -> None:
        self.loaded: LoadedDecoder = load_decoder(MOBILE_SAM, settings)
        self._encoder = load_encoder(MOBILE_SAM, settings)

    def encoded(self, rgb: NDArray[np.uint8]) -> Encoded:
        """Encode a picture (H, W, 3)."""
        architecture = self.loaded.model.architecture
        (tensors,) = self._encoder.encode([architecture.frame.resize(rgb)])
        size = rgb.shape[0], rgb.shape[1]
        return Encoded(self.loaded.decoder.prepare(tensors, size), image_features(tensors, architecture, size))

    def bound(self, decoder: Any) -> LoadedDecoder:
        """Return the model with another decoder."""
        return replace(self.loaded, decoder=decoder)

    def in_box(self, image: Encoded, box: tuple[int, int, int, int]) -> ColumnRuns:
        """Return the single mask of a box, in pixels of the picture."""
        frame = self.loaded.model.architecture.frame
        corners = frame.points(np.array(box, float).reshape(2, 2), image.size).reshape(4)
        prompt = Prompt(np.zeros((0, 2), np.float32), np.zeros(0, np.int64), corners)
        (masks,) = self.loaded.decoder.decode(image.prepared, [prompt], multimask=False)
        return self.loaded.decoder.mask_runs(masks.logits[0], image.size)


def pixels(runs: ColumnRuns) -> NDArray[np.bool_]:
    """Return a mask as (H, W) bool."""
    height, width = runs.size
    changes = np.zeros((width, height + 1), np.int8)
    np.add.at(changes, (runs.x, runs.top), 1)
    np.add.at(changes, (runs.x, runs.bottom), -1)
    return np.ascontiguousarray(np.cumsum(changes[:, :height], axis=1, dtype=np.int8).T.astype(bool))
