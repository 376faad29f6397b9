"""Hiera's attention without what transformers computes and throws away."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional


class PlainAttention(nn.Module):
    """Takes the place of transformers' `Sam2MultiScaleAttention`, whose parameters it shares. The results are the same.

    transformers 5.24 also computes products between the heads of each place, which nothing reads. Without them an image
    takes a twentieth less time on a CPU.

    Source: sam2.modeling.backbones.hieradet.MultiScaleAttention.
    """

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.qkv: nn.Linear = original.qkv
        self.proj: nn.Linear = original.proj
        self._heads: int = original.num_attention_heads
        self._stride: list[int] | None = original.query_stride

    def forward(self, hidden_states: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H', W', C'). H' and W' are half of H and W in the first block of a stage."""
        batch, height, width, _ = hidden_states.shape
        qkv = self.qkv(hidden_states).reshape(batch, height * width, 3, self._heads, -1)
        query, key, value = qkv.unbind(2)  # each (B, places, heads, C / heads)
        if self._stride is not None:
            places = query.reshape(batch, height, width, -1).permute(0, 3, 1, 2)
            pooled = functional.max_pool2d(places, self._stride, self._stride).permute(0, 2, 3, 1)
            height, width = pooled.shape[1:3]
            query = pooled.reshape(batch, height * width, self._heads, -1)
        seen = functional.scaled_dot_product_attention(
            query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        )
        result: Tensor = self.proj(seen.transpose(1, 2).reshape(batch, height, width, -1))
        return result


def plain_attention(backbone: Any) -> None:
    """Replace every attention of a `Sam2HieraDetModel`, in place."""
    for block in backbone.blocks:
        block.attn = PlainAttention(block.attn)
