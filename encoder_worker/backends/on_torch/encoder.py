"""An image encoder that runs any torch network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder_worker.backends.on_torch.batches import FittingBatches
from encoder_worker.backends.on_torch.device_check import still_works
from encoder_worker.backends.on_torch.lanes import Lanes, lanes_of
from encoder_worker.backends.on_torch.resizing import Resizer
from encoder_worker.backends.on_torch.staging import Landing, Staging
from encoder_worker.encoding.device_lost import DeviceLost
from shared.contract.errors import EncodeFailed
from shared.contract.geometry import Size
from shared.contract.models import Model
from shared.tensors.embedding import Tensors

Image = NDArray[Any] | Tensor
"""A resized image, (H, W, 3): an array, or what the device has made."""

Run = Callable[[Tensor], Mapping[str, Tensor]]
"""A network: (B, 3, side, side) float32 to the model's tensors by name, float32, all on one device."""

_log = logging.getLogger(__name__)


class TorchEncoder:
    """An `OverlappingEncoder` and `ResizingEncoder` that runs a network on `device`."""

    def __init__(
        self,
        model: Model,
        network: Run,
        device: torch.device,
        *,
        batch: int = 1,
        half: Collection[str] = (),
        resizer: Resizer | None = None,
        lanes: Lanes | None = None,
    ) -> None:
        """
        Args:
            batch: the most images at once.
            half: names of the tensors that the device rounds to float16.
            resizer: resizes pictures on the device; without one the host does it.
            lanes: where images and embeddings are copied; by default those of the device.
        """
        self._model = model
        self._network = network
        self._batches = FittingBatches(batch)
        self._resizer = resizer
        self._lanes = lanes or lanes_of(device)
        self._staging = Staging(model, device, half, lanes=self._lanes)

    @property
    def model(self) -> Model:
        return self._model

    @property
    def batch(self) -> int:
        return self._batches.largest

    def resizes(self, size: Size) -> bool:
        return self._resizer is not None and self._resizer.takes(size)

    def resized(self, rgb: NDArray[np.uint8]) -> NDArray[Any] | Tensor:
        assert self._resizer is not None
        try:
            with _typed_errors(self._lanes), torch.inference_mode():
                return self._staging.beside(rgb, self._resizer.resized)
        except MemoryError as error:
            _log.warning("a processor resizes a picture: %s", error)
            return self._model.encoder_frame.resize(rgb)

    def encode(self, images: Sequence[Image]) -> list[Tensors]:
        return self.begin(images).result()

    def begin(self, images: Sequence[Image]) -> Underway:
        with _typed_errors(self._lanes):
            return Underway(self._batches.run(images, self._launch), self._lanes)

    def try_out(self, images: Sequence[Image]) -> None:
        """Encode images for nothing. Errors are those of torch.

        Raises:
            torch.OutOfMemoryError: not even one image fits.
            EncodeFailed: an embedding is not finite.
        """
        for landing in self._batches.run(images, self._launch):
            landing.result()

    @torch.inference_mode()
    def _launch(self, images: Sequence[Image]) -> Landing:
        return self._staging.landing(self._network(self._staging.frames(images)))


@dataclass(frozen=True, slots=True)
class Underway:
    """Images that the device works on, in one batch or in several."""

    batches: Sequence[Landing]
    lanes: Lanes

    def result(self) -> list[Tensors]:
        with _typed_errors(self.lanes):
            return [tensors for landing in self.batches for tensors in landing.result()]


@contextmanager
def _typed_errors(lanes: Lanes) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryError("the device has no memory left even for one image") from error
    except (RuntimeError, ValueError) as error:  # CUDA's errors have no type of their own
        if "allocate memory" in str(error) or "out of memory" in str(error):  # of the CPU; page-locked memory
            raise MemoryError("torch found too little memory even for one image") from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if not still_works(lanes.try_out):
            raise DeviceLost(f"the device that runs the image encoder has stopped working: {reason}") from error
        raise EncodeFailed(f"torch could not run the image encoder: {reason}") from error
