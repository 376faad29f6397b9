"""Copies images to the device and embeddings back, while the device works on."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.contract.models import Model
from shared.tensors.embedding import Tensors


class Staging:
    """Buffers for one batch at a time. For a GPU they are page-locked: then it copies without the CPU."""

    def __init__(self, model: Model, device: torch.device, batch: int, half: Collection[str] = ()) -> None:
        """
        Args:
            batch: images of the largest batch.
            half: names of the tensors that the device rounds to float16 before they are copied back.
        """
        self._device = device
        pinned = device.type == "cuda"
        frame = model.encoder_frame
        self._side = side = frame.side
        pixel = torch.from_numpy(np.empty(0, frame.pixels)).dtype
        self._pixels = torch.empty((batch, side, side, 3), dtype=pixel, pin_memory=pinned)
        self._landed = {
            spec.name: torch.empty(
                (batch, *spec.shape[1:]),
                dtype=torch.float16 if spec.name in half else torch.float32,
                pin_memory=pinned,
            )
            for spec in model.architecture.tensors
        }
        self._mean, self._std = (
            torch.tensor(values, device=device).view(3, 1, 1) for values in (model.pixels.mean, model.pixels.std)
        )

    def frames(self, images: Sequence[NDArray[Any]]) -> Tensor:
        """The network's input. Pixels are copied as the frame gives them; the device normalises and pads them.

        Source: segment_anything.modeling.Sam.preprocess.

        Args:
            images: each (H, W, 3) of the frame's dtype with H, W <= side; at most as many as the batch this was made
                for.

        Returns:
            (B, 3, side, side) float32 on the device, side being that of the model's `encoder_frame`.
        """
        frames = torch.zeros((len(images), 3, self._side, self._side), device=self._device)
        for image, pixels, frame in zip(images, self._pixels, frames, strict=False):
            height, width, _ = image.shape
            # A contiguous part of the buffer, so that it is copied in one piece.
            part = pixels.view(-1)[: image.size].view(image.shape)
            part.copy_(torch.from_numpy(np.ascontiguousarray(image)))
            there = part.to(self._device, non_blocking=True)
            frame[:, :height, :width] = (there.permute(2, 0, 1).float() - self._mean) / self._std
        return frames

    def to_host(self, tensors: Mapping[str, Tensor]) -> list[Tensors]:
        """The tensors of a batch on the device, (B, C, H, W) by name, as those of B images, (1, C, H, W) each."""
        landed: dict[str, Tensor] = {}
        for name, buffer in self._landed.items():
            landed[name] = buffer[: len(tensors[name])]
            landed[name].copy_(tensors[name].to(buffer.dtype), non_blocking=True)
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()
        rows = zip(*(tensor.numpy() for tensor in landed.values()), strict=True)
        return [{name: one[None].copy() for name, one in zip(landed, row, strict=True)} for row in rows]
