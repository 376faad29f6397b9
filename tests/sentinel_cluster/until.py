"""Waits until servers have noticed a change by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable

import redis

PATIENCE = 60.0
"""After this many seconds a test gives up. No assertion depends on it."""


def until(true: Callable[[], bool], what: str) -> None:
    """Wait until `true` returns True. A server that does not answer yet counts as not yet true."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if true():
                return
        except (redis.RedisError, OSError):
            pass
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)
