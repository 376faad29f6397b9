"""SAM's image attention on fused kernels: the same results, without a score matrix in memory.

SAM adds a bias to the score of query i and key j. It depends on their rows and columns (Li et al., MViTv2,
"decomposed relative position embeddings"):

    bias(i, j) = q_i . Rh[row(i) - row(j)] + q_i . Rw[column(i) - column(j)]

One product gives q_i . R for every distance that occurs. For each pair the bias takes two of these numbers.

There are two ways to give the bias to `scaled_dot_product_attention`:

- As its mask, a tensor of (B, heads, N, N). For the 196 places of a window that is small.
- Folded into the products. With h_i[k] = q_i . Rh[row(i) - k] and w_i[k] = q_i . Rw[column(i) - k] the bias is
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

_ALIGNED = 8
"""Tensor cores multiply matrices whose sides are multiples of this much faster."""


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
        self.qkv: nn.Module = original.qkv
        self.proj: nn.Module = original.proj
        self.heads: int = original.num_heads
        self.grid = grid
        self._scale: float = original.scale
        self._folded = grid * grid > largest_masked
        # The folded bias is part of the product, which is scaled afterwards. So it is divided by the scale here.
        factor = 1 / self._scale if self._folded else 1.0
        self._by_distance: Tensor
        self._positions: Tensor
        self.register_buffer("_by_distance", _all_distances(original) * factor, persistent=False)
        positions = _one_hot_positions(grid) if self._folded else torch.empty(0)
        self.register_buffer("_positions", positions.to(original.qkv.weight), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H, W, C), H = W = grid."""
        result: Tensor = self.proj(
            out_of_windows(self.attend(into_windows(self.qkv(x), self.heads, self.grid)), self.grid)
        )
        return result

    def attend(self, qkv: Tensor) -> Tensor:
        """Attention without the products before and after it.

        Args:
            qkv: (3, B, heads, N, C / heads): queries, keys and values of all places, row by row. N = grid x grid.

        Returns:
            (B, heads, N, C / heads).
        """
        query, key, value = qkv.unbind(0)
        rows, columns = self._bias(query)  # each (B, heads, grid, grid, grid): what a place adds
        if self._folded:
            return self._with_wide_heads(query, key, value, torch.cat([rows, columns], dim=-1).flatten(2, 3))
        places = self.grid * self.grid
        mask = (rows[..., :, None] + columns[..., None, :]).reshape(*query.shape[:2], places, places)
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=self._scale)

    def _bias(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """What each query's place adds for each row of keys and for each column, both as views of one product.

        The numbers of a query at row r start at distance -r, one further for each row of keys.
        """
        batch, heads, _, size = query.shape
        grid = self.grid
        by_distance = (query.reshape(-1, size) @ self._by_distance).view(batch, heads, grid, grid, -1)
        outer, inner, row, column, _ = by_distance.stride()
        shape = (batch, heads, grid, grid, grid)
        rows = by_distance.as_strided(shape, (outer, inner, row - 1, column, 1), grid - 1)
        columns = by_distance.as_strided(shape, (outer, inner, row, column - 1, 1), 3 * grid - 2)
        return rows, columns

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


def into_windows(qkv: Tensor, heads: int, window: int, padding: Tensor | None = None) -> Tensor:
    """Queries, keys and values by window and head, in one copy.

    Args:
        qkv: (B, side, side, 3 C).
        window: side of a window, in places.
        padding: (3 C,), what the places beyond the side have. None if the side is a multiple of the window.

    Returns:
        (3, B x windows, heads, window x window, C / heads).
    """
    batch, side, _, _ = qkv.shape
    count = -(-side // window)
    beyond = count * window - side
    if beyond:
        assert padding is not None
        inside = torch.arange(side + beyond, device=qkv.device) < side
        padded = functional.pad(qkv, (0, 0, 0, beyond, 0, beyond))
        qkv = torch.where((inside[:, None] & inside[None, :])[..., None], padded, padding)
    split = qkv.reshape(batch, count, window, count, window, 3, heads, -1)
    return split.permute(5, 0, 1, 3, 6, 2, 4, 7).reshape(3, batch * count * count, heads, window * window, -1)


def out_of_windows(seen: Tensor, side: int) -> Tensor:
    """The reverse of `into_windows`: (B x windows, heads, window x window, C / heads) to (B, side, side, C).

    What the padding has is left out.
    """
    windows, heads, places, size = seen.shape
    window = round(places**0.5)
    count = -(-side // window)
    split = seen.reshape(windows // count**2, count, count, heads, window, window, size)
    whole = split.permute(0, 1, 4, 2, 5, 3, 6).reshape(-1, count * window, count * window, heads * size)
    return whole[:, :side, :side]


def fuse_attention(image_encoder: Any, *, largest_masked: int = LARGEST_MASKED) -> None:
    """Replace every attention of an `ImageEncoderViT` by its fused form, in place. Its blocks stay as published."""
    image_side = image_encoder.pos_embed.shape[1]
    for block in image_encoder.blocks:
        block.attn = FusedAttention(block.attn, block.window_size or image_side, largest_masked=largest_masked)


def _all_distances(original: Any) -> Tensor:
    """(C / heads, K): the embedding of every distance from a query to a key, from -(grid - 1) to grid - 1.

    First those of rows, then those of columns, then zeros up to an aligned K.
    """
    both = torch.cat([original.rel_pos_h.flip(0), original.rel_pos_w.flip(0)]).detach()
    return functional.pad(both, (0, 0, 0, -len(both) % _ALIGNED)).T.contiguous()


def _one_hot_positions(grid: int) -> Tensor:
    """(N, 2 grid): for each place, its row as a one-hot vector, then its column as one."""
    one_hot = torch.eye(grid)
    return torch.cat([one_hot.repeat_interleave(grid, 0), one_hot.repeat(grid, 1)], dim=1)
