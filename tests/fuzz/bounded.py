"""Bounds on what one input may cost: of itself an endless or bloated one raises nothing."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

MOST_SECONDS = 2.0
"""Seconds of processor time, on a machine of today."""
MOST_BYTES = 500_000_000
"""By which it may make the process larger than it ever was."""

_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class TooExpensive(Exception):
    """An input that costs more than it may."""


def bounded(check: Callable[[bytes], None], most_seconds: float = MOST_SECONDS) -> Callable[[bytes], None]:
    """`check`, which also raises `TooExpensive` for an input that took too long or too much memory.

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
    """The most memory this process has had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
