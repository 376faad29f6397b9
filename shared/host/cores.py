"""How many threads can run at once on this host.

A container's CPU limit is a quota of time on all cores of its host. If more threads run than the quota allows, the
kernel throttles all of them. Python knows the cores that a process is bound to, but not the quota.
Source: the kernel's documentation of cgroup v2 (cpu.max) and v1 (cpu.cfs_quota_us).
"""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_cores(cgroup: Path = _CGROUP) -> int:
    """Return how many cores this process may use, at least 1.

    It is the number of cores that the process is bound to, or its CPU quota, rounded up, if that is lower.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    return bound if quota is None else max(1, min(bound, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """Return the CPU quota in cores; None if there is no quota or it cannot be read."""
    try:
        if (cgroup / "cpu.max").exists():
            most, period = (cgroup / "cpu.max").read_text().split()
        else:
            most, period = ((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        quota = int(most) / int(period)  # "max" (no limit) raises ValueError
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return quota if quota > 0 else None
