"""The processes that decode images for the workers: they are found, and stopped in the middle of an image."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.cores import children, memory
from encoder_worker.decoding.processes import PROGRAM
from tests.chaos.ledger import Upload

BUSY = 90.0
"""MB of memory of a process that decodes a large photo, see `tests.chaos.material.Material.fresh_large`. Otherwise it
has half of that."""

_LOOK = 0.001
_SECONDS = 5.0
"""Until a process has stopped, or has ended."""

_NO_PROCESS = (OSError, KeyError, ValueError)
"""What reading of a process raises that has ended, or ends now."""


def decoders_of(worker: int) -> list[int]:
    """Process ids of those that decode for the worker with this process id; none if it has ended."""
    with suppress(*_NO_PROCESS):
        return [pid for pid in children(worker) if _decodes(pid)]
    return []


def orphans(group: int, workers: Collection[int]) -> list[int]:
    """Process ids of those in the process group that decode for none of the workers."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        pid = int(folder.name)
        with suppress(*_NO_PROCESS):
            _, parent, its_group = _stat(pid)
            if its_group == group and parent not in workers and _decodes(pid):
                found.append(pid)
    return found


def stopped_in_mid_image(decoders: Callable[[], Sequence[int]], photo: Upload, deadline: float) -> int | None:
    """Wait until one of the processes decodes the large photo, stop it with SIGSTOP, and return its id.

    Args:
        deadline: monotonic seconds.

    Returns:
        None if the upload has ended first, or the deadline has passed.
    """
    while photo.end is None and time.monotonic() < deadline:
        for pid in decoders():
            if _is_busy(pid) and _stopped(pid):
                if _is_busy(pid):
                    return pid
                go_on(pid)  # it was done with the photo before it stopped
        time.sleep(_LOOK)
    return None


def go_on(pid: int) -> None:
    """Let a stopped process go on. Nothing happens if it has ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def crash(pid: int) -> None:
    """End a stopped process as a crash in a decoder ends it, but without a core file, and wait for its end."""
    resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
    os.kill(pid, signal.SIGSEGV)
    go_on(pid)
    deadline = time.monotonic() + _SECONDS
    while not has_ended(pid) and time.monotonic() < deadline:
        time.sleep(_LOOK)


def has_ended(pid: int) -> bool:
    """Return whether the process is gone, or waits only for its parent to notice its end."""
    with suppress(*_NO_PROCESS):
        state, _, _ = _stat(pid)
        return state in "ZX"
    return True


@contextmanager
def short_of_memory(pids: Sequence[int], room: int) -> Iterator[None]:
    """In the block, each of these processes may take no more than `room` bytes in addition to what it has."""
    for pid in pids:
        _, most = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (_address_space(pid) + room, most))
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                _, most = resource.prlimit(pid, resource.RLIMIT_AS)
                resource.prlimit(pid, resource.RLIMIT_AS, (most, most))


def _is_busy(pid: int) -> bool:
    with suppress(*_NO_PROCESS):
        return memory(pid).now > BUSY
    return False


def _stopped(pid: int) -> bool:
    """Stop the process, and return whether it has stopped. It may have ended meanwhile."""
    deadline = time.monotonic() + _SECONDS
    with suppress(*_NO_PROCESS):
        os.kill(pid, signal.SIGSTOP)
        while not has_ended(pid) and time.monotonic() < deadline:
            if _stat(pid)[0] == "T":
                return True
    return False


def _decodes(pid: int) -> bool:
    return PROGRAM.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def _stat(pid: int) -> tuple[str, int, int]:
    """Return the state, the parent and the process group; see proc(5)."""
    state, parent, group = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:3]
    return state, int(parent), int(group)


def _address_space(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")
