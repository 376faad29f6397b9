"""Attention over the whole image in torch's flex_attention: a candidate, timed by `bench.encode` on a GPU.

Its kernel adds SAM's relative positions to the scores while it makes them. So heads stay as wide as they are, 80 in
ViT-H. The service folds the positions in, which makes them 208 wide. No worker uses this: whether it is faster only a
GPU can say.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.attention.flex_attention import flex_attention

from encoder_worker.backends.sam1.attention import FusedAttention


class FlexAttention(FusedAttention):
    """`FusedAttention` whose bias is a function of the score. It must be made with its bias as a mask."""

    def attend(self, qkv: Tensor) -> Tensor:
        query, key, value = qkv.unbind(0)
        rows, columns = (part.flatten(2, 3).contiguous() for part in self._bias(query))
        grid = self.grid

        def biased(score: Tensor, batch: Tensor, head: Tensor, asks: Tensor, asked: Tensor) -> Tensor:
            return score + rows[batch, head, asks, asked // grid] + columns[batch, head, asks, asked % grid]

        result: Any = flex_attention(query, key, value, score_mod=biased, scale=self._scale)
        seen: Tensor = result
        return seen


def use_flex_attention(image_encoder: Any, image_side: int) -> None:
    """Change every attention over the whole image, in an encoder that `fuse_blocks` changed with masks everywhere."""
    for stage in image_encoder.blocks:
        for block in stage.blocks:
            if block.attn.grid == image_side:
                block.attn.__class__ = FlexAttention
