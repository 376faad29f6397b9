"""An image encoder that runs any torch network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder_worker.backends.on_torch.batches import FittingBatches
from encoder_worker.backends.on_torch.lanes import Lanes
from encoder_worker.backends.on_torch.staging import Landing, Staging
from shared.contract.errors import EncodeFailed
from shared.contract.models import Model
from shared.tensors.embedding import Tensors

Run = Callable[[Tensor], Mapping[str, Tensor]]
"""A network: (B, 3, side, side) float32 to the model's tensors by name, float32, all on one device."""


class TorchEncoder:
    """An `OverlappingEncoder` that runs a network on `device`."""

    def __init__(
        self,
        model: Model,
        network: Run,
        device: torch.device,
        *,
        batch: int = 1,
        half: Collection[str] = (),
        lanes: Lanes | None = None,
    ) -> None:
        """
        Args:
            batch: the most images at once.
            half: names of the tensors that the device rounds to float16.
            lanes: where images and embeddings are copied; by default those of the device.
        """
        self._model = model
        self._network = network
        self._batches = FittingBatches(batch)
        self._staging = Staging(model, device, half, lanes=lanes)

    @property
    def model(self) -> Model:
        return self._model

    @property
    def batch(self) -> int:
        return self._batches.largest

    def encode(self, images: Sequence[NDArray[Any]]) -> list[Tensors]:
        return self.begin(images).result()

    def begin(self, images: Sequence[NDArray[Any]]) -> Underway:
        with _typed_errors():
            return Underway(self._batches.run(images, self._launch))

    def try_out(self, images: Sequence[NDArray[Any]]) -> None:
        """Encode images for nothing. Errors are those of torch.

        Raises:
            torch.OutOfMemoryError: not even one image fits.
            EncodeFailed: an embedding is not finite.
        """
        for landing in self._batches.run(images, self._launch):
            landing.result()

    @torch.inference_mode()
    def _launch(self, images: Sequence[NDArray[Any]]) -> Landing:
        return self._staging.landing(self._network(self._staging.frames(images)))


@dataclass(frozen=True, slots=True)
class Underway:
    """Images that the device works on, in one batch or in several."""

    batches: Sequence[Landing]

    def result(self) -> list[Tensors]:
        with _typed_errors():
            return [tensors for landing in self.batches for tensors in landing.result()]


@contextmanager
def _typed_errors() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError("the device has no memory left to encode even one image") from error
    except (RuntimeError, ValueError) as error:  # CUDA's errors have no type of their own
        if "allocate memory" in str(error):  # of the CPU
            raise MemoryError("torch found too little memory to encode even one image") from error
        raise EncodeFailed(f"torch could not run the image encoder: {str(error).splitlines()[0]}") from error
