"""What the worker needs of an image encoder. The backends provide it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from shared.contract.models import Model
from shared.tensors.embedding import Tensors


class Encoder(Protocol):
    """A loaded image encoder. Not thread-safe: one per worker process."""

    @property
    def model(self) -> Model:
        """The model, with the digest of the weights that are loaded."""
        ...

    @property
    def batch(self) -> int:
        """How many images are best encoded together."""
        ...

    def encode(self, images: Sequence[NDArray[Any]]) -> Sequence[Tensors]:
        """The tensors of images that the model's `encoder_frame` has resized.

        Args:
            images: each (H, W, 3) RGB, uint8 or float32, as the model's `encoder_frame` resizes it; sizes may differ.

        Returns:
            For each image the tensors of the model's architecture, float32, or float16 if that is how they will be
            stored. The encoder itself normalises and pads, exactly as the model's own predictor does. A GPU does this
            on the device.

        Raises:
            EncodeFailed: the encoder could not run, or a result is not finite, for at least one image.
            MemoryError: this process, or the device, has too little memory even for one image.
        """
        ...
