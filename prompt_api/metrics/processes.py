"""How the API processes of one parent count together: in files of a private folder, which each of them can read.

A process writes to the files of its slot. By default, prometheus_client would name the files by process id. With slots,
the replacement of a dead process continues its counts, and the number of files does not grow when processes die.

prometheus_client maps these files into memory. If the kernel has no room for a page of a mapped file, it kills the
process (SIGBUS). So all room is reserved before a process starts: a full folder then stops no process that counts.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from shared.contract.errors import ConfigurationError

RESERVED = {"counter": 1 << 20, "histogram": 4 << 20, "gauge_livesum": 1 << 16}
"""Bytes of each file of a slot, by the part of its name before the slot.

After requests of every kind, 220 kB of the largest are in use.
"""

PIDS_BYTES = 4096
"""Size of the file with the ids of the processes. It is written in place, which needs no further room."""

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that names the folder for prometheus_client."""

_PIDS = "pids"


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """The folder, as the parent of the processes uses it; `shared_folder` makes one."""

    path: Path

    def environ(self) -> dict[str, str]:
        """Return what the processes need in their environment."""
        return {VARIABLE: str(self.path)}

    def reserve(self, slot: int) -> None:
        """Take the room for all that the process in `slot` counts. What it has counted before stays.

        Raises:
            OSError: there is no room.
        """
        for name, size in RESERVED.items():
            _reserve(self.path / f"{name}_{slot}.db", size)

    def vacate(self, slot: int) -> None:
        """Note that the process in `slot` is gone: its gauges no longer count, its counters still do."""
        mark_process_dead(slot, str(self.path))  # type: ignore[no-untyped-call]  # it has no annotations

    def record(self, pids: Iterable[int]) -> None:
        """Write down the ids of the processes, for all of them to read."""
        descriptor = os.open(self.path / _PIDS, os.O_WRONLY)
        try:
            os.pwrite(descriptor, " ".join(map(str, pids)).encode().ljust(PIDS_BYTES), 0)
        finally:
            os.close(descriptor)


@contextmanager
def shared_folder() -> Iterator[SharedFolder]:
    """Make a folder that no other user may read, and remove it at the end of the block.

    Raises:
        ConfigurationError: the folder cannot be made.
    """
    path = None
    try:
        path = tempfile.mkdtemp(prefix="sam-metrics-")
        _reserve(Path(path, _PIDS), PIDS_BYTES)
    except OSError as error:
        if path is not None:
            shutil.rmtree(path, ignore_errors=True)
        raise no_place(error) from error
    try:
        yield SharedFolder(Path(path))
    finally:
        shutil.rmtree(path, ignore_errors=True)


def no_place(error: OSError) -> ConfigurationError:
    """Return the error of an API that cannot make the folder, or reserve the room in it."""
    return ConfigurationError(
        f"API processes keep their counts in a temporary folder, which cannot be made ({error.strerror}): mount a "
        "tmpfs at /tmp, or name a writable folder in TMPDIR"
    )


@dataclass(frozen=True, slots=True)
class Place:
    """One process's place in the folder.

    Attributes:
        slot: the process's number; no sibling has the same one while it runs.
    """

    folder: Path
    slot: int

    @classmethod
    def in_environment(cls, slot: int) -> Place:
        """Return the place in the folder that the parent made."""
        return cls(Path(os.environ[VARIABLE]), slot)

    def pids(self) -> list[int]:
        """Return the ids of the processes that count here."""
        return [int(pid) for pid in (self.folder / _PIDS).read_text().replace("\0", "").split()]

    def collect_into(self, registry: CollectorRegistry) -> None:
        """Add to `registry` what all of these processes counted."""
        MultiProcessCollector(registry, str(self.folder))  # type: ignore[no-untyped-call]  # it has no annotations


def keep_values(place: Place | None) -> None:
    """Decide where every metric that this process makes from now on keeps its values: at `place`, or in memory.

    Call this only once in a process that has a place: two sets of metrics in one slot would overwrite each other.
    """
    # prometheus_client decides this from the environment when it is imported, and would use the process id, not the
    # slot.
    if place is None:
        values.ValueClass = values.MutexValue
    else:
        os.environ[VARIABLE] = str(place.folder)
        values.ValueClass = values.MultiProcessValue(lambda: place.slot)  # type: ignore[no-untyped-call]  # as above


def _reserve(path: Path, size: int) -> None:
    """Make the file at least `size` bytes long, with room for all of them. New bytes are 0. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:  # macOS, which has no tmpfs either
            os.truncate(descriptor, max(size, os.fstat(descriptor).st_size))
    finally:
        os.close(descriptor)
