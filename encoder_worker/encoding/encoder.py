"""The seam behind which an image encoder runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.contract.models import Model
from shared.tensors.embedding import Tensors


class Encoder(Protocol):
    """A loaded image encoder. Not thread-safe: one per worker process."""

    @property
    def model(self) -> Model:
        """The weights this encoder runs."""
        ...

    @property
    def batch(self) -> int:
        """Images that are best encoded together."""
        ...

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[Tensors]:
        """Image embeddings of images that the model's frame has resized.

        Args:
            images: each (H, W, 3) uint8 RGB, as `Frame.resize` gives it; sizes may differ.

        Returns:
            For each image the tensors of the model's architecture, float32, or float16 if that is how they will be
            stored. Normalising and padding is the encoder's part (a GPU does it on the device), exactly as
            `Sam.preprocess` does it.

        Raises:
            EncodeFailed: the encoder could not run, or gave a result that is not finite, for at least one image.
        """
        ...
