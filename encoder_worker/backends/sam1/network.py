"""segment_anything's image encoder in mixed precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from encoder_worker.backends.on_torch.float8 import round_products
from shared.contract.models import EMBEDDING


class Network(nn.Module):
    """An `ImageEncoderViT` whose transformer blocks run in `dtype`.

    The patch embedding and the neck stay in float32. They are a hundredth of the work, and the precision of the result
    depends on them.
    """

    def __init__(self, image_encoder: Any, dtype: torch.dtype, *, float8: bool = False) -> None:
        """
        Args:
            image_encoder: on the device, with float32 weights. Its blocks are changed to `dtype`.
            float8: whether the products of the blocks are made in float8.
        """
        super().__init__()
        if float8:
            round_products(image_encoder.blocks, dtype)
        else:
            image_encoder.blocks.to(dtype)
        self._encoder = image_encoder
        self._dtype = dtype

    @property
    def parts(self) -> Sequence[nn.Module]:
        """What is compiled: the stages of `fuse_blocks`, which are equal but for their weights."""
        return list(self._encoder.blocks)

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        """(B, 3, 1024, 1024) float32, normalised and padded, to the embedding, (B, 256, 64, 64) float32."""
        encoder = self._encoder
        # Contiguous, as every stage gives it: for another layout the first stage would be compiled by itself.
        x = (encoder.patch_embed(frames) + encoder.pos_embed).to(self._dtype).contiguous()
        for stage in encoder.blocks:
            x = stage(x)
        return {EMBEDDING: encoder.neck(x.float().permute(0, 3, 1, 2))}
