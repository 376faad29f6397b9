"""How many threads can run at once here.

A container's CPU limit is a quota of time on all cores of its host: more threads than it pays for only have each other
throttled. Python knows of the cores a process is bound to, not of the quota.
Source: the kernel's documentation of cgroup v2 (cpu.max) and v1 (cpu.cfs_quota_us).
"""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores(cgroup: Path = _CGROUP) -> int:
    """Cores that this process may use, at least 1: those it is bound to, or fewer by its CPU quota, rounded up."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return bound if quota is None else max(1, min(bound, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """Cores' worth of time; None where there is no limit, or none that can be read."""
    try:
        if (cgroup / "cpu.max").exists():
            most, period = (cgroup / "cpu.max").read_text().split()
        else:
            most, period = ((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        quota = int(most) / int(period)  # "max" is no number
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return quota if quota > 0 else None
