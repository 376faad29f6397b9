"""Finds and verifies a model's checkpoint on this machine, and downloads it if it is missing."""

from __future__ import annotations

import logging
from pathlib import Path

from shared.contract.errors import WeightsError
from shared.contract.models import Checkpoint, Model
from shared.contract.settings import Settings
from shared.weights.download import download
from shared.weights.entry_files import identified
from shared.weights.fetch import explained_errors, fetch_lock, sha256_of
from shared.weights.transformers_names import WEIGHTS_FILE

_LOCK_TIMEOUT = 7200.0
"""Seconds to wait for another process that downloads the same checkpoint: up to 2.6 GB over a slow line."""

_log = logging.getLogger(__name__)


def locate_checkpoint(model: Model, settings: Settings) -> tuple[Path, Model]:
    """Return the path of the model's checkpoint, and the model with the digest of that file.

    Every byte of the file is checked, which takes 1 to 3 s. A model of the catalogue has the file, or the folder, that
    its entry names. For a built-in model: if `SAM_WEIGHTS_PATH` is set (for `SAM_MODEL`), it is the file, or a folder
    that holds the file under its official name, or a folder that transformers saved. That file may be any checkpoint of
    the architecture, such as a fine-tuned one. Otherwise the official checkpoint is used. It is in a folder with the
    model's name in `SAM_BUNDLED_DIR` or `SAM_WEIGHTS_DIR`, and is downloaded into the latter once per machine.

    Raises:
        WeightsError: the file is missing or wrong, or cannot be downloaded. The message says what to do.
    """
    checkpoint = model.checkpoint
    if checkpoint is None:
        raise WeightsError(f"model {model.name} has no checkpoint")
    if model.entry is not None and model.entry.weights is not None:
        return model.entry.weights, identified(model)
    if settings.weights_path and model.name == settings.model:
        return _explicit(model, Path(settings.weights_path).expanduser(), checkpoint.name)
    if settings.bundled_folder is not None:
        bundled = settings.bundled_folder / model.name / checkpoint.name
        with explained_errors(bundled.parent):
            if _is_official(model, bundled):
                return bundled, model
    folder = settings.weights_folder / model.name
    path = folder / checkpoint.name
    with explained_errors(folder):
        if not _is_official(model, path):
            with fetch_lock(folder, _LOCK_TIMEOUT):
                if not _is_official(model, path):  # not downloaded while this process waited
                    _log.info("fetching %s, %.1f GB", checkpoint.url, checkpoint.size / 1e9)
                    folder.mkdir(exist_ok=True)
                    _download(model, checkpoint, path)
                    _log.info("the checkpoint of %s is in %s", model.name, folder)
    return path, model


def _download(model: Model, checkpoint: Checkpoint, path: Path) -> None:
    try:
        download(checkpoint.url, path, size=checkpoint.size, sha256=checkpoint.sha256)
    except WeightsError as error:
        raise WeightsError(
            f"{error.detail}; {model.name} needs {path}, {checkpoint.size} bytes with the SHA-256 {checkpoint.sha256}"
        ) from error


def _explicit(model: Model, given: Path, name: str) -> tuple[Path, Model]:
    with explained_errors(given.parent):
        path = given / name if given.is_dir() else given
        if not path.is_file() and (given / WEIGHTS_FILE).is_file():
            path = given / WEIGHTS_FILE
        if not path.is_file():
            raise WeightsError(
                f"SAM_WEIGHTS_PATH: {path} is missing; put the checkpoint of {model.name} there, or unset it to have "
                "the official one fetched"
            )
        found = model.with_checkpoint(sha256_of(path))
    if found != model:
        _log.warning("%s is not the official checkpoint of %s; it is used as it is", path, model.name)
    return path, found


def _is_official(model: Model, path: Path) -> bool:
    assert model.checkpoint is not None
    if not path.is_file() or path.stat().st_size != model.checkpoint.size:
        return False
    return sha256_of(path) == model.checkpoint.sha256
