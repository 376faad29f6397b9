"""Reads the tensors in a file of weights, and never executes anything in it."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from shared.contract.errors import WeightsError
from shared.weights.catalogue import SAFETENSORS
from shared.weights.safetensors import read_tensors
from shared.weights.state_names import common_prefix

WRAPPINGS = ("model", "state_dict", "model_state")
"""Keys under which a state dict is saved: Meta's, torchvision's and detectron's, Lightning's, torch_em's."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dict in the file, on the CPU.

    Where the format allows it, the file is mapped into memory, not read. Then the tensors change if the file does.

    Args:
        path: `.safetensors`, or what `torch.save` wrote: a state dict, alone or under one of `WRAPPINGS` in a dict.

    Raises:
        WeightsError: the file is damaged, or holds more than tensors.
    """
    if path.suffix == SAFETENSORS:
        return {name: torch.from_numpy(array) for name, array in read_tensors(path).items()}
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


def without_prefix(state: dict[str, Tensor], anchor: str) -> dict[str, Tensor]:
    """Return the state dict without the prefix that a training program put in front of all names, such as `module.`.

    Args:
        anchor: a name without prefix that the state dict must have.

    Raises:
        WeightsError: several names end in `anchor`.
    """
    prefix = common_prefix(state, anchor)
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


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
        f"{path} is no checkpoint: it must be a state_dict of tensors, alone or as {' or '.join(WRAPPINGS)} of a dict"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
