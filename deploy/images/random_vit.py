"""A checkpoint of ViT-B with random weights, because Meta's own are not within reach of every machine."""

from __future__ import annotations

from pathlib import Path

import torch

from encoder_worker.backends.on_torch.torchvision_operators import ensure_torchvision_imports

ensure_torchvision_imports()

from segment_anything import sam_model_registry  # noqa: E402  # it cannot be imported earlier

_SEED = 1


def write_random_vit_b(path: Path) -> None:
    """Write a state dict of segment_anything's ViT-B, as it is before training, with the same numbers each time."""
    torch.manual_seed(_SEED)
    torch.save(sam_model_registry["vit_b"]().state_dict(), path)
