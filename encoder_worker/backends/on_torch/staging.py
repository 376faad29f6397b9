"""Brings images to the device and embeddings back, while the device works on another batch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from encoder_worker.backends.on_torch.lanes import Lanes, Mark, lanes_of
from encoder_worker.backends.on_torch.resizing import LARGEST
from shared.contract.errors import EncodeFailed
from shared.contract.models import Model
from shared.tensors.embedding import Tensors

_COPIED_AT_ONCE = 4
"""Pictures that are copied to the device at the same time. Each takes 64 MiB of page-locked memory."""


class Staging:
    """Makes the network's input from images, and arrays from its output. Each batch has memory of its own."""

    def __init__(
        self, model: Model, device: torch.device, half: Collection[str] = (), *, lanes: Lanes | None = None
    ) -> None:
        """
        Args:
            half: names of the tensors that the device rounds to float16 before they are copied back.
            lanes: where the copies run; by default those of the device.
        """
        self._model = model
        self._device = device
        self._half = frozenset(half)
        self._lanes = lanes or lanes_of(device)
        self._copying = BoundedSemaphore(_COPIED_AT_ONCE)
        self._mean, self._std = (
            torch.tensor(values, device=device).view(3, 1, 1) for values in (model.pixels.mean, model.pixels.std)
        )

    def frames(self, images: Sequence[NDArray[Any] | Tensor]) -> Tensor:
        """The network's input. Pixels are copied as the frame gives them; the device normalises and pads them.

        The images are not read after this has returned.

        Source: segment_anything.modeling.Sam.preprocess.

        Args:
            images: each (H, W, 3) of the frame's dtype with H, W <= side; those that the device has resized are there.

        Returns:
            (B, 3, side, side) float32 on the device, side being that of the model's `encoder_frame`.
        """
        side = self._model.encoder_frame.side
        there = self._lanes.upload([_tensor(image) for image in images], 3 * side * side)
        frames = torch.zeros((len(images), 3, side, side), device=self._device)
        for pixels, frame in zip(there, frames, strict=True):
            height, width, _ = pixels.shape
            frame[:, :height, :width] = (pixels.permute(2, 0, 1).float() - self._mean) / self._std
        return frames

    def beside(self, rgb: NDArray[np.uint8], work: Callable[[Tensor], Tensor]) -> Tensor:
        """Copy a picture to the device, and return what `work` makes of it there when it is made.

        Any thread may call this. Only so many wait at once that page-locked memory stays small.
        """
        with self._copying:
            return self._lanes.beside(rgb, work, 3 * LARGEST)

    def landing(self, tensors: Mapping[str, Tensor]) -> Landing:
        """Begin to copy the tensors of a batch to the host: (B, C, H, W) by name, on the device.

        Raises:
            EncodeFailed: a tensor has a wrong shape.
        """
        rounded: dict[str, Tensor] = {}
        for spec in self._model.architecture.tensors:
            tensor = tensors[spec.name]
            if tensor.shape[1:] != spec.shape[1:]:
                raise EncodeFailed(f"the image encoder gave a {spec.name} of a wrong shape")
            rounded[spec.name] = tensor.to(torch.float16 if spec.name in self._half else torch.float32)
        # Asking the device now whether all is finite would stop its queue. It writes the answer, which is read later.
        finite = torch.stack([tensor.isfinite().all() for tensor in rounded.values()])
        here, arrived = self._lanes.download([*rounded.values(), finite])
        return Landing(dict(zip(rounded, here, strict=False)), here[-1], arrived)


def _tensor(image: NDArray[Any] | Tensor) -> Tensor:
    return image if isinstance(image, Tensor) else torch.from_numpy(np.ascontiguousarray(image))


@dataclass(frozen=True, slots=True, eq=False)
class Landing:
    """The tensors of a batch on their way to the host.

    Attributes:
        tensors: (B, C, H, W) by name, in the host's memory. They may be read after `arrived`.
        finite: for each tensor, whether all its numbers are finite.
        arrived: the point at which all of it is there.
    """

    tensors: Mapping[str, Tensor]
    finite: Tensor
    arrived: Mark

    def result(self) -> list[Tensors]:
        """Wait, and return the tensors of each image, (1, C, H, W) by name.

        The arrays are views of the batch's memory, which stays as long as one of them does.

        Raises:
            EncodeFailed: a number is not finite.
        """
        self.arrived.synchronize()
        for name, finite in zip(self.tensors, self.finite.tolist(), strict=True):
            if not finite:
                raise EncodeFailed(f"the image encoder gave a result that is not a finite {name}")
        rows = zip(*(tensor.numpy() for tensor in self.tensors.values()), strict=True)
        return [{name: one[None] for name, one in zip(self.tensors, row, strict=True)} for row in rows]
