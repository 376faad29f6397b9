"""A checkpoint's prompt encoder and mask decoder in one small file. The worker writes it and the API reads it.

The file is a numpy `.npz` of 16 MB. It holds the float32 arrays under the names that Meta's own state_dict has
(`mask_decoder.…`, for SAM 2 `sam_mask_decoder.…`), and names their model and checkpoint. It holds no code, can be read
without torch, and has a checksum for each member.

The API reads a decoder without such a file if it is in a file that holds no code: ONNX or safetensors.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from shared.contract.errors import WeightsError
from shared.contract.keys import is_digest
from shared.contract.models import SAM2, Model
from shared.contract.settings import Settings
from shared.host.atomic_file import replacing
from shared.weights.catalogue import ONNX, SAFETENSORS
from shared.weights.entry_files import decoder_of
from shared.weights.fetch import explained_errors

PREFIXES = ("prompt_encoder.", "mask_decoder.")
"""Each array's name in a decoder of SAM begins with one of these."""

_MODEL, _CHECKPOINT = "model", "checkpoint_sha256"


@dataclass(frozen=True, slots=True, eq=False)
class DecoderFile:
    """The content of the file.

    Attributes:
        model: the model with the digest of the checkpoint that the arrays come from.
        arrays: float32 arrays by name, see `PREFIXES`. Their shapes are not checked.
    """

    model: Model
    arrays: Mapping[str, NDArray[np.float32]]


def is_handed_over(model: Model) -> bool:
    """Return whether a worker must write the decoder file of `model`, because the API cannot read its weights.

    The API knows only the names in segment_anything's checkpoints. Files of SAM 2 may have transformers' names.
    """
    if model.entry is None or model.architecture.name == SAM2.name:
        return model.checkpoint is not None
    return decoder_of(model)[1].suffix not in (f".{ONNX}", SAFETENSORS)


def decoder_path(model: Model, settings: Settings) -> Path:
    """Return the path of the model's decoder file. The worker writes it and the API reads it."""
    return settings.weights_folder / model.name / "decoder.npz"


def write_decoder(path: Path, model: Model, arrays: Mapping[str, NDArray[np.float32]]) -> None:
    """Write the file to `path`, completely or not at all. It replaces an older file.

    Args:
        model: the model with the digest of the checkpoint that the arrays come from.
        arrays: the arrays of the prompt encoder and the mask decoder.

    Raises:
        WeightsError: the folder is not writable.
    """
    source = model.checkpoint or model.decoder
    assert source is not None
    about = {_MODEL: np.array(model.name), _CHECKPOINT: np.array(source.sha256)}
    members: dict[str, Any] = {**about, **arrays}
    with explained_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            np.savez(file, **members)


def read_decoder(path: Path, model: Model) -> DecoderFile:
    """Read the file at `path`. It must be a decoder file of `model`.

    Raises:
        WeightsError: the file is missing (the message says how to make it), damaged, or of another model.
    """
    try:
        with path.open("rb") as file, NpzFile(file, allow_pickle=False) as archive:
            members = {name: np.asarray(archive[name]) for name in archive.files}
            written_for, sha256 = str(members.pop(_MODEL)), str(members.pop(_CHECKPOINT))
    except FileNotFoundError:
        raise WeightsError(
            f"{path}, the mask decoder of {model.name}, is missing: start a worker of {model.name} on the same "
            "SAM_WEIGHTS_DIR, or run `python -m encoder_worker.export_decoder` where its checkpoint is, and copy it"
        ) from None
    except PermissionError:
        raise WeightsError(f"no permission to read {path}: grant it") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"{path} is damaged: delete it and start a worker of {model.name} to make it again"
        ) from error
    if written_for != model.name:
        raise WeightsError(f"{path} is the mask decoder of {written_for}, not of {model.name}")
    if not is_digest(sha256):
        raise WeightsError(f"{path} does not say which checkpoint it is from")
    if model.checkpoint is not None:
        return DecoderFile(model.with_checkpoint(sha256), members)
    assert model.decoder is not None
    return DecoderFile(replace(model, decoder=replace(model.decoder, sha256=sha256)), members)
