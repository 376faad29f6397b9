"""SAM's transformer blocks with less work than the published ones, and the same results.

- The published block pads 64x64 places to 70x70 before the products of its windows, and cuts the padding off later.
  A padded place is zero there, so its query, key and value are the bias alone. Here the products are made for 64x64
  places, and the bias is put into the padding afterwards.
- What attention gives for the padding is dropped before its output is projected.
- On a GPU in bfloat16 GELU is part of the product before it. That kernel uses the form with tanh, which is off by at
  most 4.8e-4, at 2.7: bfloat16 rounds away up to 16 times as much there.
- The blocks of ViT-B, -L and -H come in four equal stages, each of some blocks with windows and one without. A compiler
  has to compile only one stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoder_worker.backends.sam1.attention import LARGEST_MASKED, FusedAttention, into_windows, out_of_windows


class FusedBlock(nn.Module):
    """Takes the place of `segment_anything.modeling.image_encoder.Block`, whose parameters it shares."""

    def __init__(
        self, original: Any, image_side: int, *, largest_masked: int = LARGEST_MASKED, gelu_in_product: bool = True
    ) -> None:
        """
        Args:
            original: the block.
            image_side: how many rows and columns of places an image has.
            largest_masked: the most places for which the bias of attention is a mask.
            gelu_in_product: whether a GPU computes GELU in the product before it, where it can.
        """
        super().__init__()
        self.norm1: nn.Module = original.norm1
        self.norm2: nn.Module = original.norm2
        self.attn = FusedAttention(original.attn, original.window_size or image_side, largest_masked=largest_masked)
        self.lin1: nn.Module = original.mlp.lin1
        self.lin2: nn.Module = original.mlp.lin2
        self._gelu_in_product = gelu_in_product
        self._padding: Tensor
        bias = original.attn.qkv.bias
        self.register_buffer("_padding", bias.detach().clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H, W, C), H = W = image_side."""
        attn = self.attn
        qkv = into_windows(attn.qkv(self.norm1(x)), attn.heads, attn.grid, self._padding)
        x = x + attn.proj(out_of_windows(attn.attend(qkv), x.shape[1]))
        result: Tensor = x + self.lin2(self._hidden(self.norm2(x)))
        return result

    def _hidden(self, x: Tensor) -> Tensor:
        lin1 = self.lin1
        if self._gelu_in_product and isinstance(lin1, nn.Linear) and x.is_cuda and x.dtype == torch.bfloat16:
            flat = torch.ops.aten._addmm_activation(lin1.bias, x.flatten(0, 2), lin1.weight.t(), use_gelu=True)
            hidden: Tensor = flat.view(*x.shape[:3], -1)
            return hidden
        return functional.gelu(lin1(x))


class Stage(nn.Module):
    """Some blocks in a row. It is no `nn.Sequential`, whose code torch's compiler leaves out."""

    def __init__(self, blocks: Sequence[FusedBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H, W, C)."""
        for block in self.blocks:
            x = block(x)
        return x


def fuse_blocks(image_encoder: Any, *, largest_masked: int = LARGEST_MASKED, gelu_in_product: bool = True) -> None:
    """Replace the blocks of an `ImageEncoderViT` by stages of fused ones, in place.

    A stage ends with a block without windows.
    """
    image_side = image_encoder.pos_embed.shape[1]
    stages: list[Stage] = []
    begun: list[FusedBlock] = []
    for original in image_encoder.blocks:
        begun.append(FusedBlock(original, image_side, largest_masked=largest_masked, gelu_in_product=gelu_in_product))
        if not original.window_size:
            stages.append(Stage(begun))
            begun = []
    if begun:
        stages.append(Stage(begun))
    image_encoder.blocks = nn.ModuleList(stages)
