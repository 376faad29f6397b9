"""Reads the weights of a segment_anything checkpoint, and never executes anything in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encoder_worker.backends.on_torch.tensor_file import read_state, without_prefix
from encoder_worker.backends.on_torch.torchvision_operators import ensure_torchvision_imports
from shared.contract.errors import WeightsError
from shared.weights.decoder_file import PREFIXES
from shared.weights.transformers_names import WEIGHTS_FILE, in_own_names

ANCHOR = "mask_decoder.iou_token.weight"
"""A name that every state dict of SAM has."""

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
        path: `.safetensors`, or what `torch.save` wrote: a state dict, alone or as `model`, `state_dict` or
            `model_state` of a dict; or a folder in transformers' form. The names are segment_anything's or those of
            transformers, and may have a prefix in common, such as `sam.`.
        network: the network that the file should have weights of.
        expected: the state dict of that network, or the wanted part of it; only its shapes matter.

    Raises:
        WeightsError: the file is damaged, holds more than tensors, belongs to another model, or has numbers that are
            not finite.
    """
    if path.is_dir():
        path = _in_folder(path)
    state = in_own_names(without_prefix(read_state(path), ANCHOR))
    _require_shapes(path, network, state, expected)
    found = {key: state[key] for key in expected}
    for key, tensor in found.items():
        if not bool(tensor.isfinite().all()):
            raise WeightsError(f"{path} has damaged weights: {key} has numbers that are not finite")
    return found


def decoder_part(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of a checkpoint that goes into the decoder file."""
    return {key: value for key, value in state.items() if key.startswith(PREFIXES)}


def _in_folder(folder: Path) -> Path:
    """Return the file of weights in a folder in transformers' form, which must be one of SAM.

    Raises:
        WeightsError: it is not.
    """
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise WeightsError(f"{folder} is a folder: expected {WEIGHTS_FILE} in it, as transformers saves it")
    try:
        kind = json.loads((folder / "config.json").read_bytes())["model_type"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        kind = None
    if kind != "sam":
        raise WeightsError(f"{folder} must have a config.json of model_type 'sam', not {str(kind)[:50]!r}")
    return path


def _require_shapes(path: Path, name: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    positions = state.get(_POSITIONS)
    actual = _WIDTHS.get(positions.shape[-1]) if positions is not None and positions.ndim else None
    if actual is not None and actual != name:
        raise WeightsError(
            f"{path} is a checkpoint of {actual}, not of {name}: set SAM_MODEL={actual} (in a catalogue: "
            f"architecture = {actual!r}) or change the file"
        )
    for key, tensor in expected.items():
        if key not in state:
            raise WeightsError(f"{path} is no checkpoint of {name}: {key} is missing")
        if state[key].shape != tensor.shape:
            shapes = f"{tuple(state[key].shape)}, not {tuple(tensor.shape)}"
            raise WeightsError(f"{path} is no checkpoint of {name}: {key} has shape {shapes}")
