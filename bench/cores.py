"""Cores and processes of this machine as Linux shows them: pinning, processor time, memory."""

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
    """Resident memory of a process now, and the most since its start or the last `forget_peak`; MB of 10^6 bytes."""

    now: float
    peak: float


def available() -> list[int]:
    """Cores this process may use."""
    return sorted(os.sched_getaffinity(0))


@contextmanager
def running_on(cores: Iterable[int]) -> Iterator[None]:
    """Within the block this thread, and the threads and processes it starts, run on `cores` alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cores))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def pin(pid: int, cores: Iterable[int]) -> None:
    """Bind every thread of a process to `cores`; the threads it starts later inherit that."""
    wanted = set(cores)
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), wanted)


def children(pid: int) -> list[int]:
    """Processes that `pid` started, in the order of their ids."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sorted(int(child) for task in tasks for child in (task / "children").read_text().split())


def processor_seconds(pid: int) -> float:
    """Processor time the process has used, all its threads together."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory(pid: int) -> Memory:
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, peak = (int(lines[name].split()[0]) * _KB / 1e6 for name in ("VmRSS", "VmHWM"))
    return Memory(now, peak)


def forget_peak(pid: int) -> None:
    """Let `memory(pid).peak` count from now on. Source: proc(5), /proc/pid/clear_refs."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
