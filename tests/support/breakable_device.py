"""A real torch encoder on a device that breaks: one image does it, and from then on every call fails as on a GPU.

As a program: `python -m encoder_worker` for the model `fake`, with this encoder.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from encoder_worker import __main__ as program
from encoder_worker.backends.on_torch.encoder import TorchEncoder
from encoder_worker.backends.on_torch.lanes import CpuLanes
from shared.contract.models import FAKE, Model

BATCH = 4

BREAKS, BREAKS_LATER = (255, 0, 255), (255, 255, 0)
"""Colours of images that break the device: when their batch is begun, or as GPUs do, when its result is waited for."""

ERROR = (
    "CUDA error: an illegal memory access was encountered\n"
    "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
)
"""What torch says, word by word."""


class BreakableDevice(CpuLanes):
    """A CPU that is asked as a GPU is.

    Attributes:
        broken: every call fails.
    """

    def __init__(self) -> None:
        self.broken = False
        self._pending = False

    def network(self, frames: Tensor) -> dict[str, Tensor]:
        """A network that gives each image the mean of its pixels."""
        self.require_whole()
        corners = [tuple(frame[:, 0, 0].sign().tolist()) for frame in frames]
        self.broken |= _sign(BREAKS) in corners
        self.require_whole()
        self._pending |= _sign(BREAKS_LATER) in corners
        means = frames.mean((1, 2, 3)).view(-1, 1, 1, 1)
        return {"embedding": means.expand(-1, 256, 64, 64).contiguous()}

    def upload(self, images: Sequence[Tensor], largest: int) -> list[Tensor]:
        self.require_whole()
        return super().upload(images, largest)

    def download(self, tensors: Sequence[Tensor]) -> tuple[list[Tensor], Any]:
        return list(tensors), self

    def synchronize(self) -> None:
        self.broken |= self._pending
        self.require_whole()

    def try_out(self) -> None:
        self.require_whole()

    def require_whole(self) -> None:
        if self.broken:
            raise RuntimeError(ERROR)


def breakable_encoder(device: BreakableDevice, model: Model = FAKE) -> TorchEncoder:
    return TorchEncoder(model, device.network, torch.device("cpu"), batch=BATCH, lanes=device)


def image_of(colour: tuple[int, int, int]) -> Any:
    """Return a picture of one colour as the encoder takes it, (64, 96, 3) uint8."""
    return np.full((64, 96, 3), colour, dtype=np.uint8)


def _sign(colour: tuple[int, int, int]) -> tuple[float, ...]:
    """Whether each channel is above or below the mean of SAM's statistics, as the network sees it."""
    return tuple(1.0 if channel > 128 else -1.0 for channel in colour)


if __name__ == "__main__":
    program.prepare_encoder = lambda settings: breakable_encoder(BreakableDevice())  # type: ignore[attr-defined]
    sys.exit(program.main())
