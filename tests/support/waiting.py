"""How long a thread waits, on a machine however busy."""

from __future__ import annotations

import time
from pathlib import Path


def waited() -> float:
    """Seconds that this thread has waited for something, from a beginning that does not matter: compare two calls.

    The time in which it computed, or stood in line for a processor, does not count. So what a request waits for Redis
    can be bounded tightly without a bound on the speed of the machine.
    """
    computed, queued, _ = Path("/proc/thread-self/schedstat").read_text().split()
    return time.monotonic() - (int(computed) + int(queued)) / 1e9
