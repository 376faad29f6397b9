"""How the API processes of one parent count together: in files of a private folder, which each of them can read.

A process writes to the files of its slot, not of its process id as prometheus_client does by itself: whoever replaces a
dead process goes on counting where that one stopped, and however many die, there are as many files as slots.
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
"""Where prometheus_client looks for the folder."""


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """The folder, as the parent of the processes sees it; `shared_folder` makes one."""

    path: Path

    def environ(self) -> dict[str, str]:
        """What the processes are to have in their environment."""
        return {VARIABLE: str(self.path)}

    def vacate(self, slot: int) -> None:
        """The process in `slot` is gone: what it had in hand counts no more, what it had done does."""
        mark_process_dead(slot, str(self.path))  # type: ignore[no-untyped-call]  # it has no annotations

    def record(self, pids: Iterable[int]) -> None:
        """Tell the processes of each other."""
        with replacing(self.path / "pids") as file:
            file.write(" ".join(map(str, pids)).encode())


@contextmanager
def shared_folder() -> Iterator[SharedFolder]:
    """A folder that ends with the block, and that nobody else may read.

    Raises:
        ConfigurationError: there is no place for one.
    """
    try:
        path = tempfile.mkdtemp(prefix="sam-metrics-")
    except OSError as error:
        raise ConfigurationError(
            f"API processes count in files of a temporary folder, and none can be made ({error.strerror}): mount a "
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
        slot: its own, while it runs.
    """

    folder: Path
    slot: int

    @classmethod
    def in_environment(cls, slot: int) -> Place:
        """The place in the folder that the parent made."""
        return cls(Path(os.environ[VARIABLE]), slot)

    def pids(self) -> list[int]:
        """The processes that count here."""
        return [int(pid) for pid in (self.folder / "pids").read_text().split()]

    def collect_into(self, registry: CollectorRegistry) -> None:
        """Let `registry` show what all of them counted."""
        MultiProcessCollector(registry, str(self.folder))  # type: ignore[no-untyped-call]  # it has no annotations


def keep_values(place: Place | None) -> None:
    """Decide where every metric that this process makes from now on keeps its values: at `place`, or in memory.

    Once in the life of a process that has a place: two of the same slot would overwrite each other.
    """
    # prometheus_client decides by the environment, when it is imported; which of ours it is, we know better.
    if place is None:
        values.ValueClass = values.MutexValue
    else:
        os.environ[VARIABLE] = str(place.folder)
        values.ValueClass = values.MultiProcessValue(lambda: place.slot)  # type: ignore[no-untyped-call]  # as above
