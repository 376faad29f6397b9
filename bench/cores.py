"""Binds processes to cores, and reads their processor time and memory from Linux."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_KB = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of a process, in MB of 10^6 bytes. `peak` is the most since it started or since `forget_peak`."""

    now: float
    peak: float


def available() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


@contextmanager
def running_on(cores: Iterable[int]) -> Iterator[None]:
    """In the block, this thread runs only on `cores`. So do the threads and processes that it starts there."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cores))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pin(pid: int, cores: Iterable[int]) -> None:
    """Bind every thread of a process to `cores`. Threads that it starts later inherit this."""
    wanted = set(cores)
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), wanted)


def children(pid: int) -> list[int]:
    """The processes that `pid` started, sorted by id."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sorted(int(child) for task in tasks for child in (task / "children").read_text().split())


def processor_seconds(pid: int) -> float:
    """Processor time that all threads of the process have used together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> Memory:
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, peak = (int(lines[name].split()[0]) * _KB / 1e6 for name in ("VmRSS", "VmHWM"))
    return Memory(now, peak)


def forget_peak(pid: int) -> None:
    """Make `memory(pid).peak` count from now on, through /proc/pid/clear_refs; see proc(5)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
