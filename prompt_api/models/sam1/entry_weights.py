"""Reads SAM's mask decoder from the file that an entry of the catalogue names, if it holds no code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prompt_api.models.sam1.weights import checked, read_export
from shared.contract.models import Model
from shared.weights.decoder_file import PREFIXES
from shared.weights.entry_files import decoder_of, naming_the_entry
from shared.weights.safetensors import read_tensors, tensor_names
from shared.weights.state_names import common_prefix
from shared.weights.transformers_names import in_own_names

_POSITIONS = ("shared_image_embedding.",)
"""In transformers' form, a part of the prompt encoder is outside of it."""

ANCHOR = "mask_decoder.iou_token.weight"
"""A name that every state dict of SAM has."""


def read_entry(model: Model) -> dict[str, NDArray[np.float32]]:
    """Return the weights of the mask decoder of a model of the catalogue, from an ONNX export or from safetensors.

    Raises:
        WeightsError: the file is damaged, or holds no mask decoder of SAM. The sentence names the entry and the key.
    """
    key, path = decoder_of(model)
    with naming_the_entry(model, key):
        return read_export(path) if path.suffix == ".onnx" else _read_safetensors(path)


def _read_safetensors(path: Path) -> dict[str, NDArray[np.float32]]:
    prefix = common_prefix(tensor_names(path), ANCHOR)
    wanted = tuple(prefix + part for part in (*PREFIXES, *_POSITIONS))
    arrays = read_tensors(path, lambda name: name.startswith(wanted))
    return checked(in_own_names({name.removeprefix(prefix): array for name, array in arrays.items()}))
