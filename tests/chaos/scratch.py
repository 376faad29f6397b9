"""The folder for temporary files of the API: a small file system of its own where that can be had, to be filled."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

SIZE = "640m"
"""As large as that of a replica in docker-compose.yml."""

_PIECES = (4 * 1024 * 1024, 4096)


class Scratch:
    """Without the right to mount a file system, no file of the API may grow while it is full: nearly the same."""

    def __init__(self, folder: Path, pids: Callable[[], Sequence[int]]) -> None:
        """
        Args:
            pids: the processes that use it.
        """
        folder.mkdir(parents=True)
        self.folder = folder
        self._pids = pids
        mount = shutil.which("mount")
        command = [str(mount), "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
        self._mounted = mount is not None and subprocess.run(command, check=False, capture_output=True).returncode == 0

    def close(self) -> None:
        if self._mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self) -> None:
        if not self._mounted:
            self._limit_files(0)
            return
        with self._filler.open("wb", buffering=0) as file:
            for size in _PIECES:
                piece = bytes(size)
                with suppress(OSError):  # "no space left on device"
                    while True:
                        file.write(piece)

    def drain(self) -> None:
        self._limit_files(resource.RLIM_INFINITY)
        self._filler.unlink(missing_ok=True)

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"

    def _limit_files(self, size: int) -> None:
        for pid in self._pids():
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
