"""The seam behind which an image encoder runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.models import Model


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

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> Sequence[NDArray[np.floating]]:
        """Image embeddings of images already resized by `shared.images.resize_longest_side`.

        Args:
            images: each (H, W, 3) uint8 RGB with max(H, W) = 1024; sizes may differ.

        Returns:
            For each image, (1, 256, 64, 64) float32, or float16 if that is how it will be stored. Normalising and
            zero-padding to 1024x1024 is the encoder's part (a GPU does it on the device), exactly as `Sam.preprocess`.

        Raises:
            EncodeFailed: the encoder could not run, or gave a result that is not finite, for at least one image.
        """
        ...
