"""A small image encoder of segment_anything's own class, for tests and for quick runs of the bench."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from encoder_worker.backends.on_torch.torchvision_operators import ensure_torchvision_imports


def small_image_encoder() -> Any:
    """Return an `ImageEncoderViT` of two narrow blocks, one with windows and one without, with random weights."""
    ensure_torchvision_imports()
    from segment_anything.modeling import ImageEncoderViT  # it cannot be imported earlier

    return ImageEncoderViT(
        embed_dim=64,
        depth=2,
        num_heads=2,
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=(1,),
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )
