"""Limits on the time and memory that one input may cost. Too slow or too large an input raises nothing by itself."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

MOST_SECONDS = 2.0
"""Seconds of processor time, on a machine of today."""
MOST_BYTES = 500_000_000
"""How many bytes one input may add to the process's peak memory."""

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class TooExpensive(Exception):
    """An input costs more time or memory than allowed."""


def bounded(check: Callable[[bytes], None], most_seconds: float = MOST_SECONDS) -> Callable[[bytes], None]:
    """Return `check`, which then also raises `TooExpensive` for an input that took too much time or memory.

    Args:
        most_seconds: of processor time.
    """

    def checked(data: bytes) -> None:
        peak, began = peak_bytes(), time.process_time()
        check(data)
        taken, grown = time.process_time() - began, peak_bytes() - peak
        if taken > most_seconds or grown > MOST_BYTES:
            raise TooExpensive(f"{len(data)} bytes took {taken:.1f} s; memory grew by {grown / 1e6:.0f} MB")

    return checked


def peak_bytes() -> int:
    """Return the most resident memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
