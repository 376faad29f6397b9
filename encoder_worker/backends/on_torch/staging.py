"""Copies images to the device and embeddings back, while the device works on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.contract.models import Model
from shared.tensors.embedding import Tensors


class Staging:
    """Buffers for one batch at a time. For a GPU they are page-locked: then it copies without the CPU."""

    def __init__(self, model: Model, device: torch.device, batch: int, result: torch.dtype) -> None:
        """
        Args:
            model: has one tensor.
            batch: images of the largest batch.
            result: float32 or float16; the device rounds the embeddings to it before they are copied back.
        """
        self._device = device
        pinned = device.type == "cuda"
        (spec,) = model.architecture.tensors
        self._name = spec.name
        self._side = side = model.architecture.frame.side
        self._pixels = torch.empty((batch, side, side, 3), dtype=torch.uint8, pin_memory=pinned)
        self._embeddings = torch.empty((batch, *spec.shape[1:]), dtype=result, pin_memory=pinned)
        self._mean, self._std = (
            torch.tensor(values, device=device).view(3, 1, 1) for values in (model.pixels.mean, model.pixels.std)
        )

    def frames(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """The network's input. Pixels are copied as bytes; the device normalises and pads them.

        Source: segment_anything.modeling.Sam.preprocess.

        Args:
            images: each (H, W, 3) uint8 with H, W <= side; at most as many as the batch this was made for.

        Returns:
            (B, 3, side, side) float32 on the device, side being that of the model's frame.
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

    def to_host(self, embeddings: Tensor) -> list[Tensors]:
        """(B, C, H, W) on the device as the tensors of B images, (1, C, H, W) each."""
        landed = self._embeddings[: len(embeddings)]
        landed.copy_(embeddings.to(landed.dtype), non_blocking=True)
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()
        return [{self._name: array[None].copy()} for array in landed.numpy()]
