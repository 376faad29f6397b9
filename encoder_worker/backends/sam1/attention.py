"""SAM's image attention on fused kernels: the same results, without a score matrix in memory.

SAM adds a bias to the score of query i and key j. It depends on their rows and columns (Li et al., MViTv2,
"decomposed relative position embeddings"):

    bias(i, j) = q_i . Rh[row(i), row(j)] + q_i . Rw[column(i), column(j)]

There are two ways to give it to `scaled_dot_product_attention`:

- As its mask, a tensor of (B, heads, N, N). For the 196 places of a window that is small.
- Folded into the products. With h_i = q_i . Rh[row(i), :] and w_i = q_i . Rw[column(i), :] the bias is
  h_i . onehot(row(j)) + w_i . onehot(column(j)). So if queries and keys get H + W more numbers each, their product is
  the whole score, and nothing of size N x N exists. For the 4096 places of global attention this takes half the time
  of the mask on a CPU, and saves half a gigabyte per image in ViT-H.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LARGEST_MASKED = 1024
"""The most places N for which the bias is a mask. For more places it is folded into the products."""


class FusedAttention(nn.Module):
    """Takes the place of `segment_anything.modeling.image_encoder.Attention`, whose parameters it shares."""

    def __init__(self, original: Any, grid: int, *, largest_masked: int = LARGEST_MASKED) -> None:
        """
        Args:
            original: the attention, with relative positions.
            grid: how many rows and columns of places it attends over: the side of a window or of the image.
            largest_masked: the most places for which the bias is a mask.
        """
        super().__init__()
        self.qkv: nn.Linear = original.qkv
        self.proj: nn.Linear = original.proj
        self._heads: int = original.num_heads
        self._scale: float = original.scale
        self._grid = grid
        self._folded = grid * grid > largest_masked
        # The folded bias is part of the product, which is scaled afterwards. So it is divided by the scale here.
        factor = 1 / self._scale if self._folded else 1.0
        self._rows: Tensor
        self._columns: Tensor
        self._positions: Tensor
        self.register_buffer("_rows", _relative(original.rel_pos_h, grid) * factor, persistent=False)
        self.register_buffer("_columns", _relative(original.rel_pos_w, grid) * factor, persistent=False)
        positions = _one_hot_positions(grid) if self._folded else torch.empty(0)
        self.register_buffer("_positions", positions.to(original.qkv.weight), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H, W, C), H = W = grid."""
        batch, height, width, channels = x.shape
        places, size = height * width, channels // self._heads
        qkv = self.qkv(x).reshape(batch, places, 3, self._heads, size).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)  # each (B, heads, N, size)
        by_place = query.reshape(batch, self._heads, height, width, size)
        rows = torch.einsum("bnhwc,hkc->bnhwk", by_place, self._rows)
        columns = torch.einsum("bnhwc,wkc->bnhwk", by_place, self._columns)
        if self._folded:
            seen = self._with_wide_heads(query, key, value, torch.cat([rows, columns], dim=-1).flatten(2, 3))
        else:
            bias = rows[..., :, None] + columns[..., None, :]
            mask = bias.reshape(batch, self._heads, places, places)
            seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=self._scale)
        merged = seen.permute(0, 2, 1, 3).reshape(batch, height, width, channels)
        result: Tensor = self.proj(merged)
        return result

    def _with_wide_heads(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        """Attention with the bias folded in.

        Args:
            bias: (B, heads, N, 2 grid), for each query: what it adds for each row of keys, then for each column.
        """
        width, extra = value.shape[-1], bias.shape[-1]
        wide_query = torch.cat([query, bias], dim=-1)
        wide_key = torch.cat([key, self._positions.expand(*key.shape[:3], extra)], dim=-1)
        wide_value = functional.pad(value, (0, extra))  # flash kernels want all three to have one width
        seen = functional.scaled_dot_product_attention(wide_query, wide_key, wide_value, scale=self._scale)
        return seen[..., :width]


def fuse_attention(image_encoder: Any, *, largest_masked: int = LARGEST_MASKED) -> None:
    """Replace every attention of an `ImageEncoderViT` by its fused form, in place."""
    image_side = image_encoder.pos_embed.shape[1]
    for block in image_encoder.blocks:
        block.attn = FusedAttention(block.attn, block.window_size or image_side, largest_masked=largest_masked)


def _relative(embeddings: Tensor, grid: int) -> Tensor:
    """(grid, grid, C): the embedding of the distance between a query's and a key's row (or column), for each pair."""
    place = torch.arange(grid, device=embeddings.device)
    return embeddings.detach()[place[:, None] - place[None, :] + grid - 1]


def _one_hot_positions(grid: int) -> Tensor:
    """(N, 2 grid): for each place, its row as a one-hot vector, then its column as one."""
    one_hot = torch.eye(grid)
    return torch.cat([one_hot.repeat_interleave(grid, 0), one_hot.repeat(grid, 1)], dim=1)
