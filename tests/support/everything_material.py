"""Embeddings of photos and of their crops, as everything mode asks for them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoder_worker.backends.onnx.preprocess import normalise_and_pad
from prompt_api.everything.embedding import EmbeddedCrop
from prompt_api.everything.interface import CropBox, Source
from prompt_api.models.interface import LoadedDecoder
from shared.contract.models import EMBEDDING, MOBILE_SAM, SAM1
from tests.support.onnx import session


class Embedder:
    """MobileSAM's encoder. Each image is encoded once."""

    def __init__(self, encoder: Path) -> None:
        self._session = session(encoder)
        self._known: dict[str, NDArray[np.float32]] = {}

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the embedding (1, 256, 64, 64) of (H, W, 3) uint8."""
        pixels = np.ascontiguousarray(rgb)
        name = f"{pixels.shape} {sha256(pixels.tobytes()).hexdigest()}"
        if name not in self._known:
            given = {"input": normalise_and_pad(SAM1.frame.resize(pixels), MOBILE_SAM)}
            (self._known[name],) = self._session.run(None, given)
        return self._known[name]


def source_of(rgb: NDArray[np.uint8], embed: Embedder, loaded: LoadedDecoder) -> Source:
    """Return the source of the crops of a photo (H, W, 3)."""

    def source(crop: CropBox) -> EmbeddedCrop:
        x0, y0, x1, y1 = crop
        return EmbeddedCrop(loaded, {EMBEDDING: embed(rgb[y0:y1, x0:x1])}, (y1 - y0, x1 - x0))

    return source
