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


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Set the same random numbers each time, as large as in a trained network, even for weights that start as zeros."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim < 2 and name.endswith("weight"):
                continue  # the weight of a norm
            inputs = 4 if "pos" in name else parameter[0].numel()
            scale = inputs**-0.5 if parameter.ndim > 1 else 0.02
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)


def deep_image_encoder() -> Any:
    """Return an `ImageEncoderViT` for images of 64x64 pixels, with four stages of two blocks each."""
    ensure_torchvision_imports()
    from segment_anything.modeling import ImageEncoderViT  # it cannot be imported earlier

    return ImageEncoderViT(
        img_size=64,
        embed_dim=32,
        depth=8,
        num_heads=2,
        use_rel_pos=True,
        window_size=3,
        global_attn_indexes=(1, 3, 5, 7),
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
    )
