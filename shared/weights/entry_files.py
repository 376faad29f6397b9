"""The files of a model of the catalogue: their digests, and errors that say which entry and which key is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from shared.contract.errors import WeightsError
from shared.contract.models import Model, WeightsFile
from shared.weights.fetch import sha256_of

_KEPT = (".safetensors", ".json")
"""Endings of the files in a folder in transformers' form that decide what the model computes."""


def identified(model: Model) -> Model:
    """Return a model of the catalogue with the digests of its files. It reads every byte: about 1 s per 1.5 GB.

    Raises:
        WeightsError: a file cannot be read, or it has another digest than its entry says. The sentence names the entry
            and the key.
    """
    entry = model.entry
    assert entry is not None
    if entry.weights is not None:
        found = model.with_checkpoint(_digest(model, "weights", entry.weights))
        actual = found.checkpoint.sha256 if found.checkpoint else ""
    else:
        assert entry.encoder is not None
        assert entry.decoder is not None
        encoder = _with_digest(model, model.encoder, "encoder", entry.encoder)
        decoder = _with_digest(model, model.decoder, "decoder", entry.decoder)
        found, actual = replace(model, encoder=encoder, decoder=decoder), encoder.sha256
    if entry.sha256 is not None and actual != entry.sha256:
        path = entry.weights or entry.encoder
        raise WeightsError(f"{entry.place}, sha256: expected {entry.sha256}, and that of {path} is {actual}")
    return found


def decoder_of(model: Model) -> tuple[str, Path]:
    """Return the key and the path of the entry's file that has the mask decoder."""
    entry = model.entry
    assert entry is not None
    if entry.weights is not None:
        return "weights", entry.weights
    assert entry.decoder is not None
    return "decoder", entry.decoder


@contextmanager
def naming_the_entry(model: Model, key: str) -> Iterator[None]:
    """Put the entry and the key in front of every `WeightsError` from inside. For a built-in model it does nothing."""
    try:
        yield
    except WeightsError as error:
        if model.entry is None or error.detail.startswith(model.entry.place):
            raise
        raise WeightsError(f"{model.entry.place}, {key}: {error.detail}") from error


def _with_digest(model: Model, file: WeightsFile | None, key: str, path: Path) -> WeightsFile:
    assert file is not None
    return replace(file, sha256=_digest(model, key, path))


def _digest(model: Model, key: str, path: Path) -> str:
    assert model.entry is not None
    try:
        if path.is_dir():
            return _digest_of_folder(path)
        return sha256_of(path)
    except OSError as error:
        raise WeightsError(f"{model.entry.place}, {key}: {path} cannot be read: {error.strerror or error}") from error


def _digest_of_folder(folder: Path) -> str:
    """SHA-256 over the names and digests of the weights and of what configures them, in the order of names."""
    files = sorted(path for path in folder.iterdir() if path.suffix in _KEPT and path.is_file())
    lines = [f"{sha256_of(path)}  {path.name}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
