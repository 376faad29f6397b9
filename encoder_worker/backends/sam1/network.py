"""segment_anything's image encoder in mixed precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from shared.contract.models import EMBEDDING


class Network(nn.Module):
    """An `ImageEncoderViT` whose transformer blocks run in `dtype`.

    The patch embedding and the neck stay in float32. They are a hundredth of the work, and the precision of the result
    depends on them.
    """

    def __init__(self, image_encoder: Any, dtype: torch.dtype) -> None:
        super().__init__()
        image_encoder.blocks.to(dtype)
        self._encoder = image_encoder
        self._dtype = dtype

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        """(B, 3, 1024, 1024) float32, normalised and padded, to the embedding, (B, 256, 64, 64) float32."""
        encoder = self._encoder
        x = (encoder.patch_embed(frames) + encoder.pos_embed).to(self._dtype)
        for block in encoder.blocks:
            x = block(x)
        return {EMBEDDING: encoder.neck(x.float().permute(0, 3, 1, 2))}
