"""The network that the parts of `bench.card` run: a ViT with random weights, as a checkpoint for real workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bench.encode_torch import random_weight
from encoder_worker.backends.on_torch.torchvision_operators import ensure_torchvision_imports
from encoder_worker.backends.sam1.checkpoint_file import empty_sam
from shared.contract.models import find_model
from tests.support.small_sam import small_image_encoder


def write_checkpoint(folder: Path, model: str, *, tiny: bool) -> Path:
    """Write random weights in Meta's format."""
    if tiny:
        make_tiny(model)
    checkpoint = find_model(model).checkpoint
    assert checkpoint is not None
    generator = torch.Generator().manual_seed(0)
    state = {
        name: random_weight(name, tensor, generator)
        for name, tensor in empty_sam(checkpoint.network).state_dict().items()
    }
    path = folder / f"random_{model}.pth"
    torch.save(state, path)
    return path


def make_tiny(model: str) -> None:
    """From now on that network of segment_anything has an image encoder of two narrow blocks, in this process."""
    ensure_torchvision_imports()
    from segment_anything import sam_model_registry  # noqa: PLC0415  # it cannot be imported earlier

    checkpoint = find_model(model).checkpoint
    assert checkpoint is not None
    whole = sam_model_registry[checkpoint.network]

    def tiny() -> Any:
        sam = whole()
        sam.image_encoder = small_image_encoder()
        return sam

    sam_model_registry[checkpoint.network] = tiny
