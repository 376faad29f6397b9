"""How the API processes of one parent count together: in files of a private folder, which each of them can read.

A process writes to the files of its slot. By default, prometheus_client would name the files by process id. With slots,
the replacement of a dead process continues its counts, and the number of files does not grow when processes die.
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
from shared.host.atomic_file import replacing

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that names the folder for prometheus_client."""


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """The folder, as the parent of the processes uses it; `shared_folder` makes one."""

    path: Path

    def environ(self) -> dict[str, str]:
        """Return what the processes need in their environment."""
        return {VARIABLE: str(self.path)}

    def vacate(self, slot: int) -> None:
        """Note that the process in `slot` is gone: its gauges no longer count, its counters still do."""
        mark_process_dead(slot, str(self.path))  # type: ignore[no-untyped-call]  # it has no annotations

    def record(self, pids: Iterable[int]) -> None:
        """Write down the ids of the processes, for all of them to read."""
        with replacing(self.path / "pids") as file:
            file.write(" ".join(map(str, pids)).encode())


@contextmanager
def shared_folder() -> Iterator[SharedFolder]:
    """Make a folder that no other user may read, and remove it at the end of the block.

    Raises:
        ConfigurationError: the folder cannot be made.
    """
    try:
        path = tempfile.mkdtemp(prefix="sam-metrics-")
    except OSError as error:
        raise ConfigurationError(
            f"API processes keep their counts in a temporary folder, which cannot be made ({error.strerror}): mount a "
            "tmpfs at /tmp, or name a writable folder in TMPDIR"
        ) from error
    try:
        yield SharedFolder(Path(path))
    finally:
        shutil.rmtree(path, ignore_errors=True)


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
        return [int(pid) for pid in (self.folder / "pids").read_text().split()]

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
