"""What the worker needs of an image encoder. The backends provide it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from shared.contract.geometry import Size
from shared.contract.models import Model
from shared.tensors.embedding import Tensors


class Pending(Protocol):
    """A batch that an encoder has begun."""

    def result(self) -> Sequence[Tensors]:
        """Wait for the batch, and return what `Encoder.encode` returns.

        Any thread may call it, once, while the encoder begins another batch.

        Raises:
            EncodeFailed, MemoryError: as `Encoder.encode`.
        """
        ...


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
                A `ResizingEncoder` also takes what its `resized` has returned.

        Returns:
            For each image the tensors of the model's architecture, float32, or float16 if that is how they will be
            stored. The encoder itself normalises and pads, exactly as the model's own predictor does. A GPU does this
            on the device.

        Raises:
            EncodeFailed: the encoder could not run, or a result is not finite, for at least one image. `DeviceLost`: it
                will not run any more in this process.
            MemoryError: this process, or the device, has too little memory even for one image.
        """
        ...


@runtime_checkable
class OverlappingEncoder(Encoder, Protocol):
    """An encoder that can begin a batch while another one runs. On a GPU the device is never without work then."""

    def begin(self, images: Sequence[NDArray[Any]]) -> Pending:
        """Give a batch to the device, and do not wait for it. The images are not read after this has returned.

        Args:
            images: as for `encode`.

        Raises:
            EncodeFailed, MemoryError: as `encode`. What goes wrong on the device later is raised by `Pending.result`.
        """
        ...


@runtime_checkable
class ResizingEncoder(Encoder, Protocol):
    """An encoder whose device resizes pictures. That takes more than half of the work from the processors."""

    def resizes(self, size: Size) -> bool:
        """Return whether the device resizes a picture of this (height, width). Others are resized before `encode`."""
        ...

    def resized(self, rgb: NDArray[np.uint8]) -> Any:
        """Resize a picture on the device, as the model's `encoder_frame` resizes it. Any thread may call this.

        It waits until the device has read the picture, so that its memory is free afterwards.

        Args:
            rgb: (H, W, 3), of a size that the device resizes.

        Returns:
            What `encode` takes in the place of a resized image.

        Raises:
            EncodeFailed: the device could not resize it.
        """
        ...


def begin(encoder: Encoder, images: Sequence[NDArray[Any]]) -> Pending:
    """Begin a batch. An encoder that cannot overlap encodes it before this returns.

    Raises:
        EncodeFailed, MemoryError: as `Encoder.encode`.
    """
    if isinstance(encoder, OverlappingEncoder):
        return encoder.begin(images)
    return _Encoded(encoder.encode(images))


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A batch that is encoded already."""

    tensors: Sequence[Tensors]

    def result(self) -> Sequence[Tensors]:
        return self.tensors
