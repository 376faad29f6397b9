"""Finds and verifies a model's weights on this machine, and fetches them if they are missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.contract.errors import WeightsError
from shared.contract.models import Model, WeightsFile, find_model
from shared.contract.settings import Settings
from shared.weights.catalogue import known_models
from shared.weights.checkpoint import locate_checkpoint
from shared.weights.command import print_folders
from shared.weights.entry_files import decoder_of, identified
from shared.weights.fetch import explained_errors, fetch_lock, fetch_weights, sha256_of


@dataclass(frozen=True, slots=True)
class Weights:
    """Verified weights files of one model.

    Attributes:
        folder: the folder of both files.
        encoder: image encoder.
        decoder: prompt encoder + mask decoder.
    """

    folder: Path
    encoder: Path
    decoder: Path


def locate_weights(model: Model, settings: Settings) -> Weights:
    """Return the weights of `model`. Every byte is checked, which takes about 50 ms.

    If `SAM_WEIGHTS_PATH` is set (for `SAM_MODEL`), the files must be in that folder. Otherwise they are in a folder
    with the model's name, in `SAM_BUNDLED_DIR` or `SAM_WEIGHTS_DIR`. Missing ones are fetched into the latter.
    Processes that start together fetch once.

    Args:
        model: a built-in model. The files of a model of the catalogue are named by its entry.

    Raises:
        WeightsError: files in `SAM_WEIGHTS_PATH` are wrong or missing, or cannot be fetched. The message says what to
            do. It is also raised for a model without weights (`fake`).
    """
    if model.encoder is None or model.decoder is None:
        raise WeightsError(f"model {model.name} has no weights")
    files = (model.encoder, model.decoder)
    if settings.weights_path and model.name == settings.model:
        folder = Path(settings.weights_path).expanduser()
        fault = _first_fault(folder, files)
        if fault is not None:
            raise WeightsError(f"SAM_WEIGHTS_PATH: {fault}; put the file there, or unset it to have it fetched")
    elif (bundled := _bundled(model, settings)) is not None and _first_fault(bundled, files) is None:
        folder = bundled
    else:
        folder = settings.weights_folder / model.name
        if _first_fault(folder, files) is not None:
            with fetch_lock(folder):
                if _first_fault(folder, files) is not None:  # not fetched while this process waited
                    fetch_weights(model, folder)
    return Weights(folder, folder / model.encoder.name, folder / model.decoder.name)


def _bundled(model: Model, settings: Settings) -> Path | None:
    return None if settings.bundled_folder is None else settings.bundled_folder / model.name


def _first_fault(folder: Path, files: tuple[WeightsFile, ...]) -> str | None:
    """Describe the first file that differs from the registered one; None if all files are right."""
    with explained_errors(folder):
        for file in files:
            path = folder / file.name
            if not path.is_file():
                return f"{path} is missing"
            if path.stat().st_size != file.size or sha256_of(path) != file.sha256:
                return f"{path} is another file than registered (its SHA-256 is not {file.sha256})"
    return None


def _folders(settings: Settings) -> Iterator[Path]:
    """Fetch the weights of every served model and yield their folders."""
    known = known_models(settings)
    for name in settings.served_models:
        model = find_model(name, known)
        if model.entry is not None:
            identified(model)
            yield decoder_of(model)[1].parent
        elif model.checkpoint is not None:
            yield locate_checkpoint(model, settings)[0].parent
        elif model.encoder is not None:
            yield locate_weights(model, settings).folder


if __name__ == "__main__":
    sys.exit(print_folders(_folders))
