"""Reads the weights of a segment_anything checkpoint, and never executes anything in it."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encoder_worker.backends.sam1.torchvision_operators import ensure_torchvision_imports
from shared.contract.errors import WeightsError
from shared.weights.catalogue import SAFETENSORS
from shared.weights.decoder_file import PREFIXES
from shared.weights.safetensors import read_tensors
from shared.weights.state_names import common_prefix
from shared.weights.transformers_names import WEIGHTS_FILE, in_own_names

WRAPPINGS = ("model", "state_dict", "model_state")
"""Keys under which training programs save a state dict: torchvision's and detectron's, Lightning's, torch_em's."""

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
    state = _without_prefix(_safetensors(path) if path.suffix == SAFETENSORS else _unpickled(path))
    state = in_own_names(state)
    _require_shapes(path, network, state, expected)
    found = {key: state[key] for key in expected}
    for key, tensor in found.items():
        if not bool(tensor.isfinite().all()):
            raise WeightsError(f"{path} has damaged weights: {key} has numbers that are not finite")
    return found


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


def _safetensors(path: Path) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in read_tensors(path).items()}


def _unpickled(path: Path) -> dict[str, Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than weights, or is no checkpoint: such a file can run code, so it is not loaded; get "
            "it from its publisher again, or save its state_dict alone"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} is damaged ({_first_line(error)}): fetch it again") from error
    return _unwrapped(path, state)


def _unwrapped(path: Path, state: object) -> dict[str, Tensor]:
    """Return the state dict that a training program put into a dict together with other things."""
    if isinstance(state, dict):
        inner = [key for key in WRAPPINGS if isinstance(state.get(key), dict)]
        if len(inner) > 1:
            raise WeightsError(f"{path} has a state_dict in each of {' and '.join(inner)}: save one of them alone")
        found = state[inner[0]] if inner else state
        if found and all(isinstance(value, Tensor) for value in found.values()):
            return dict(found)
    raise WeightsError(
        f"{path} is no checkpoint of segment_anything: it must be a state_dict of tensors, alone or as "
        f"{' or '.join(WRAPPINGS)} of a dict"
    )


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = common_prefix(state, ANCHOR)
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def decoder_arrays(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The part of a checkpoint that goes into the decoder file, as float32 arrays."""
    return {key: value.float().numpy() for key, value in state.items() if key.startswith(PREFIXES)}


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


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
