"""Waiting for what servers find out by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable

import redis

PATIENCE = 60.0
"""Seconds after which a test gives up; nothing asserted depends on it."""


def until(true: Callable[[], bool], what: str) -> None:
    """Return once `true` is; a server that does not answer yet is waited for."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if true():
                return
        except (redis.RedisError, OSError):
            pass
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)
