"""An image encoder that runs any torch network."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder_worker.backends.on_torch.batches import FittingBatches
from encoder_worker.backends.on_torch.staging import Staging
from shared.contract.errors import EncodeFailed
from shared.contract.models import Model
from shared.tensors.embedding import Tensors

_log = logging.getLogger(__name__)


class TorchEncoder:
    """An `Encoder` that runs a network from (B, 3, side, side) to the model's tensors by name, float32 on `device`."""

    def __init__(
        self,
        model: Model,
        network: Callable[[Tensor], Mapping[str, Tensor]],
        device: torch.device,
        *,
        batch: int = 1,
        half: Collection[str] = (),
    ) -> None:
        """
        Args:
            batch: the most images at once.
            half: names of the tensors that the device rounds to float16.
        """
        self._model = model
        self._network = network
        self._batches = FittingBatches(batch)
        self._staging = Staging(model, device, self._batches.largest, half)

    @property
    def model(self) -> Model:
        return self._model

    @property
    def batch(self) -> int:
        return self._batches.largest

    def encode(self, images: Sequence[NDArray[Any]]) -> list[Tensors]:
        try:
            return self._batches.run(images, self._encode)
        except torch.OutOfMemoryError as error:
            raise MemoryError("the device has no memory left to encode even one image") from error
        except (RuntimeError, ValueError) as error:  # CUDA's errors have no type of their own
            if "allocate memory" in str(error):  # of the CPU
                raise MemoryError("torch found too little memory to encode even one image") from error
            raise EncodeFailed(f"torch could not run the image encoder: {str(error).splitlines()[0]}") from error

    def warm_up(self) -> None:
        """Run a batch of each size once. That compiles, tunes and allocates what the first use would otherwise pay for.

        Raises:
            torch.OutOfMemoryError: not even one image fits.
        """
        frame = self._model.encoder_frame
        blank = np.zeros((frame.side, frame.side, 3), dtype=frame.pixels)
        started = time.perf_counter()
        for size in self._batches.sizes:
            self._batches.run([blank] * size, self._encode)
        _log.info("warmed up in %.1f s, batches of up to %d", time.perf_counter() - started, self.batch)

    @torch.inference_mode()
    def _encode(self, images: Sequence[NDArray[Any]]) -> list[Tensors]:
        tensors = self._network(self._staging.frames(images))
        for spec in self._model.architecture.tensors:
            tensor = tensors[spec.name]
            if tensor.shape[1:] != spec.shape[1:] or not bool(tensor.isfinite().all()):
                raise EncodeFailed(f"the image encoder gave a result that is not a finite {spec.name}")
        return self._staging.to_host(tensors)
