"""An image encoder without weights: fast and deterministic, and its embedding shows the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.contract.models import EMBEDDING, FAKE, Model
from shared.tensors.embedding import Tensors

_BLOCK = 16
"""Side in pixels of the patch that one position of the embedding covers, as in SAM's ViTs."""


class FakeEncoder:
    """An `Encoder` whose embedding is a small picture of the image.

    The result is (1, 256, 64, 64). Channels 0 to 2 are the mean R, G, B (0 to 1) of each 16x16 block of the zero-padded
    1024x1024 frame. Channel 3 is the part of the block that lies inside the image. All other channels are 0.
    """

    model: Model = FAKE
    batch: int = 1

    def __init__(self, batch: int = 1) -> None:
        self.batch = batch

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensors]:
        return [{EMBEDDING: _embedding(image)} for image in images]


def _embedding(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width, _ = rgb.shape
    architecture = FAKE.architecture
    (spec,) = architecture.tensors
    full = architecture.frame.side
    frame = np.zeros((full, full, 4), dtype=np.float32)
    frame[:height, :width, :3] = rgb / np.float32(255)
    frame[:height, :width, 3] = 1
    side = full // _BLOCK
    blocks = frame.reshape(side, _BLOCK, side, _BLOCK, 4).mean(axis=(1, 3))
    embedding = np.zeros(spec.shape, dtype=np.float32)
    embedding[0, :4] = blocks.transpose(2, 0, 1)
    return embedding
