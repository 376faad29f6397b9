"""Reads the weights of a segment_anything checkpoint, and never executes anything in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encoder_worker.backends.on_torch.tensor_file import read_torch_file
from encoder_worker.backends.sam1.torchvision_operators import ensure_torchvision_imports
from shared.contract.errors import WeightsError
from shared.weights.decoder_file import PREFIXES

_WIDTHS = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
"""segment_anything's networks by the width of their image encoder."""

_POSITIONS = "image_encoder.pos_embed"


def empty_sam(network: str) -> Any:
    """segment_anything's `Sam` of that name. Its weights have no memory yet: the caller assigns them."""
    ensure_torchvision_imports()
    from segment_anything import sam_model_registry  # noqa: PLC0415  # only now can it be imported

    with torch.device("meta"):
        return sam_model_registry[network]()


def read_checkpoint(path: Path, network: str, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict in the file, on the CPU. Where the format allows it, the file is mapped into memory, not read.

    Args:
        network: the network that the file should have weights of.
        expected: the state dict of that network; only its shapes matter.

    Raises:
        WeightsError: the file is damaged, holds more than tensors, or belongs to another model.
    """
    state = read_torch_file(path)
    _require_shapes(path, network, state, expected)
    return {key: state[key] for key in expected}


def decoder_part(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of a checkpoint that goes into the decoder file."""
    return {key: value for key, value in state.items() if key.startswith(PREFIXES)}


def _require_shapes(path: Path, name: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    positions = state.get(_POSITIONS)
    actual = _WIDTHS.get(positions.shape[-1]) if positions is not None and positions.ndim else None
    if actual is not None and actual != name:
        raise WeightsError(
            f"{path} is a checkpoint of {actual}, not of {name}: set SAM_MODEL={actual} or change the file"
        )
    for key, tensor in expected.items():
        if key not in state:
            raise WeightsError(f"{path} is no checkpoint of {name}: {key} is missing")
        if state[key].shape != tensor.shape:
            shapes = f"{tuple(state[key].shape)}, not {tuple(tensor.shape)}"
            raise WeightsError(f"{path} is no checkpoint of {name}: {key} has shape {shapes}")
