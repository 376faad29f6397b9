"""Reads the tensors in a file of weights, and never executes anything in it."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from shared.contract.errors import WeightsError


def read_torch_file(path: Path, *, wrapped_in: str | None = None) -> dict[str, Tensor]:
    """Return the state dict that `torch.save` wrote, on the CPU.

    Where the format allows it, the file is mapped into memory, not read. Then the tensors change if the file does.

    Args:
        wrapped_in: the key of the state dict, if the file has it inside another dict. A file without this key is read
            as a plain state dict.

    Raises:
        WeightsError: the file is damaged, or holds more than tensors.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} holds more than weights, or is no checkpoint: such a file can run code, so it is not loaded; get "
            "it from its publisher again, or save its state_dict alone"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(f"{path} is damaged ({first_line(error)}): fetch it again") from error
    if wrapped_in is not None and isinstance(state, dict) and isinstance(state.get(wrapped_in), dict):
        state = state[wrapped_in]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} is no checkpoint: it must be a state_dict of tensors")
    return state


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class if it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
