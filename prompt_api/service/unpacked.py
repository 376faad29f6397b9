"""Unpacks gzip files once per process, so that the server can send them without a thread for each client."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from pathlib import Path
from threading import Lock


class SharedFile:
    """A file to read, with a position of its own. Many of them share one descriptor, which closing does not close."""

    def __init__(self, descriptor: int) -> None:
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        piece = os.pread(self._descriptor, self.size - self._at if size < 0 else size, self._at)
        self._at += len(piece)
        return piece

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Do nothing: others may read the file."""


class UnpackedFiles:
    """Unpacked copies of gzip files, in temporary files without a name. They stay until the process ends."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._descriptors: dict[Path, int] = {}

    def open(self, path: Path) -> SharedFile:
        """Return the unpacked content of the gzip file at `path`.

        Raises:
            OSError: there is no room for it.
        """
        with self._lock:
            descriptor = self._descriptors.get(path)
            if descriptor is None:
                descriptor = self._descriptors[path] = _unpacked(path)
        return SharedFile(descriptor)

    def close(self) -> None:
        """Close every file. Nobody may read them any more."""
        with self._lock:
            for descriptor in self._descriptors.values():
                os.close(descriptor)
            self._descriptors.clear()


def _unpacked(path: Path) -> int:
    with tempfile.TemporaryFile() as file:
        with gzip.open(path) as packed:
            shutil.copyfileobj(packed, file)
        file.flush()
        return os.dup(file.fileno())
