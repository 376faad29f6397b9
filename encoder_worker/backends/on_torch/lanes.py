"""The queues of a device: one brings images to it, one computes, one brings embeddings back, all at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Mark(Protocol):
    """A point in a device's work."""

    def synchronize(self) -> None:
        """Wait until the device has come to this point. Other threads of the process run meanwhile."""
        ...


class Lanes(Protocol):
    """Copies between the host and a device. What computes runs on torch's current stream."""

    def upload(self, images: Sequence[Tensor], largest: int) -> list[Tensor]:
        """Begin to copy images to the device. What is computed after this waits for them. They may be changed now.

        Args:
            images: contiguous. Those that `beside` has left on the device stay there.
            largest: numbers of the largest image that there can be.
        """
        ...

    def beside(self, rgb: NDArray[np.uint8], work: Callable[[Tensor], Tensor], largest: int) -> Tensor:
        """Copy a picture to the device and let `work` make something of it there, beside what computes.

        This returns when it is made. Any thread may call it.

        Args:
            largest: numbers of the largest picture that there can be.
        """
        ...

    def download(self, tensors: Sequence[Tensor]) -> tuple[list[Tensor], Mark]:
        """Begin to copy tensors to the host. The copy waits for what was computed before.

        Returns:
            The copies, which may be read after the point that comes with them.
        """
        ...

    def try_out(self) -> None:
        """Have the device compute something, beside what it does otherwise, and wait for it.

        Raises:
            RuntimeError: it does not work.
        """
        ...


class CpuLanes:
    """There is nothing to copy, and torch on a CPU returns when its work is done."""

    def upload(self, images: Sequence[Tensor], largest: int) -> list[Tensor]:  # noqa: ARG002 - of `Lanes`
        return list(images)

    def beside(self, rgb: NDArray[np.uint8], work: Callable[[Tensor], Tensor], largest: int) -> Tensor:  # noqa: ARG002
        return work(torch.tensor(rgb))

    def download(self, tensors: Sequence[Tensor]) -> tuple[list[Tensor], Mark]:
        return list(tensors), _Past()

    def try_out(self) -> None:
        """A CPU works."""


class _Past:
    def synchronize(self) -> None:
        """Nothing to wait for."""


class CudaLanes:
    """Three CUDA streams beside the one that computes.

    The host's side of a copy is page-locked, so that the GPU copies by itself. torch keeps that memory, and uses it
    again once neither a stream nor a tensor needs it. `record_stream` does the same for the GPU's side.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._up = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch has no types here
        self._beside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch has no types here
        self._down = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch has no types here
        self._pinned: list[Tensor] = []  # for pictures, not in use now

    def upload(self, images: Sequence[Tensor], largest: int) -> list[Tensor]:
        computing = torch.cuda.current_stream(self._device)
        there: list[Tensor] = []
        with torch.cuda.stream(self._up):
            for image in images:
                if image.device == self._device:
                    there.append(image)
                    continue
                # Always as large as the largest image, so that the memory of one suits every other.
                pinned = torch.empty(largest, dtype=image.dtype, pin_memory=True)
                part = pinned[: image.numel()].view(image.shape)
                part.copy_(image)
                there.append(part.to(self._device, non_blocking=True))
        computing.wait_stream(self._up)
        for tensor in there:
            tensor.record_stream(computing)
        return there

    def beside(self, rgb: NDArray[np.uint8], work: Callable[[Tensor], Tensor], largest: int) -> Tensor:
        # Pictures have any size. torch rounds each up to a power of two and keeps all of these forever, so this has
        # memory of its own, of one size. What an error leaves behind goes back to torch: the device may still read it.
        try:
            pinned = self._pinned.pop()
        except IndexError:
            pinned = torch.empty(largest, dtype=torch.uint8, pin_memory=True)
        with torch.cuda.stream(self._beside):
            part = pinned[: rgb.size].view(rgb.shape)
            np.copyto(part.numpy(), rgb)
            made = work(part.to(self._device, non_blocking=True))
            done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # torch has no types here
            done.record(self._beside)
        done.synchronize()
        self._pinned.append(pinned)
        return made

    def download(self, tensors: Sequence[Tensor]) -> tuple[list[Tensor], Mark]:
        self._down.wait_stream(torch.cuda.current_stream(self._device))
        here: list[Tensor] = []
        with torch.cuda.stream(self._down):
            for tensor in tensors:
                pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                here.append(pinned.copy_(tensor, non_blocking=True))
                tensor.record_stream(self._down)
            # Without `blocking` the thread that waits would keep a core busy.
            arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # torch has no types here
            arrived.record(self._down)
        return here, cast(Mark, arrived)

    def try_out(self) -> None:
        own = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]  # torch has no types here
        with torch.cuda.stream(own):
            torch.zeros(1, device=self._device).add_(1)
        own.synchronize()


def lanes_of(device: torch.device) -> Lanes:
    return CudaLanes(device) if device.type == "cuda" else CpuLanes()
