"""Downloads a large file over HTTP. It resumes a broken download, and puts only a verified file in place.

pooch 1.9 cannot replace this module. After a broken connection it starts at byte 0 again, and ViT-H has 2.6 GB. It has
no lock between processes, does not check size or free space before it fetches, and would add seven packages (5 MB) to
the API.
"""

from __future__ import annotations

import http.client
import logging
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from shared.contract.errors import WeightsError
from shared.weights.fetch import sha256_of
from shared.weights.progress import ProgressBar

TIMEOUT = 30.0
"""Seconds without a single byte after which a connection counts as broken."""

ATTEMPTS = 5
"""Most connections in a row that bring no new data."""

_PIECE = 1 << 20
_LONGEST_PAUSE = 10.0

_log = logging.getLogger(__name__)


def download(
    url: str,
    target: Path,
    *,
    size: int,
    sha256: str,
    timeout: float = TIMEOUT,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Download the file of that size and digest to `target`. The caller must keep other processes away.

    If the network fails, the received part stays next to `target` under a hidden name. The next call continues from it.
    Wrong content or a full disk leaves nothing behind.

    Args:
        size: bytes.
        sha256: lower-case hex digest of the whole file.
        timeout: seconds to wait for an answer, and for each next byte.

    Raises:
        WeightsError: the server does not have the file, cannot be reached, or sends another file.
        OSError: `target`'s folder is not writable.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        if part.exists():
            _complete(url, part, size, timeout, sleep)
            if sha256_of(part) != sha256:
                _log.warning("the part of %s that was here does not fit the rest: fetching all of it", target.name)
                part.unlink()
        _complete(url, part, size, timeout, sleep)
        _require_digest(part, url, sha256)
    except (OSError, _Hopeless):
        part.unlink(missing_ok=True)
        raise
    part.replace(target)


class _Hopeless(WeightsError):
    """The received part cannot become the file, or the disk has no room for the rest."""


def _complete(url: str, part: Path, size: int, timeout: float, sleep: Callable[[float], None]) -> None:
    """Download until `part` has `size` bytes, over as many connections as needed."""
    if part.exists() and part.stat().st_size > size:
        part.unlink()
    with part.open("ab") as file, ProgressBar(url.rpartition("/")[2], size) as bar:
        _require_room(part.parent, size - file.tell())
        fruitless = 0
        while (before := file.tell()) < size:
            reason = _receive(url, file, size, timeout, bar)
            fruitless = fruitless + 1 if file.tell() <= before else 0
            if file.tell() < size:
                if fruitless == ATTEMPTS:
                    raise WeightsError(
                        f"{url} cannot be fetched: {reason}; check the network and try again (what has arrived is "
                        "kept), or set SAM_WEIGHTS_PATH to the file"
                    )
                sleep(min(_LONGEST_PAUSE, 0.5 * 2**fruitless))
        file.flush()
        os.fsync(file.fileno())


def _receive(url: str, file: BinaryIO, size: int, timeout: float, bar: ProgressBar) -> str:
    """Append the data of one connection. Return why the connection ended early, or an empty string.

    Raises:
        WeightsError: another try would fail in the same way.
        OSError: the disk failed. A failure of the network is returned, not raised.
    """
    request = urllib.request.Request(url, headers={"Range": f"bytes={file.tell()}-"})  # noqa: S310  # known URL
    try:
        answer = urllib.request.urlopen(request, timeout=timeout)  # noqa: S310  # the same
    except urllib.error.HTTPError as error:
        with error:
            if error.code in (408, 429) or error.code >= 500:
                return f"the server answered {error.code}"
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise _Hopeless(f"{url} is another file than registered: it is shorter") from None
        raise WeightsError(f"{url} cannot be fetched: the server answered {error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        return str(getattr(error, "reason", error)) or type(error).__name__
    with answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            file.seek(0)  # a server without ranges starts from the beginning
            file.truncate()
        if answer.length is not None and file.tell() + answer.length != size:
            raise _Hopeless(f"{url} is another file than registered: it does not have {size} bytes")
        while file.tell() < size:
            try:
                piece = answer.read(min(_PIECE, size - file.tell()))
            except (OSError, http.client.HTTPException) as error:
                return str(error) or type(error).__name__
            if not piece:
                return "the connection was closed early"
            file.write(piece)
            bar.show(file.tell())
    return ""


def _require_room(folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise _Hopeless(
            f"no room for the weights in {folder}: {wanted / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free; "
            "free some, or set SAM_WEIGHTS_DIR elsewhere"
        )


def _require_digest(part: Path, url: str, sha256: str) -> None:
    if sha256_of(part) != sha256:
        raise _Hopeless(f"{url} is another file than registered (its SHA-256 is not {sha256})")
