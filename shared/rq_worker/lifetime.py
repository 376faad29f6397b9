"""How a worker process lives: it waits for Redis, works, survives restarts of Redis, and ends at a signal."""

from __future__ import annotations

import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping
from types import FrameType

import redis

from shared.contract.errors import StoreUnavailable
from shared.rq_worker.resident import ResidentWorker

_START_PATIENCE = 30.0
"""Seconds that a worker waits for Redis before it gives up."""

_log = logging.getLogger(__name__)


def keep_working(make_worker: Callable[[], ResidentWorker], pings: Mapping[str, Callable[[], None]]) -> None:
    """Run jobs until SIGTERM or SIGINT. A worker that lost Redis is replaced by a new one.

    Args:
        make_worker: makes a worker with a connection of its own.
        pings: one function per Redis, by its name; see `wait_until_up`.

    Raises:
        StoreUnavailable: Redis stayed out of reach.
        SamCacheError: what the worker's `work` raises, because it can do no more work in this process.
    """
    while True:
        for name, ping in pings.items():
            wait_until_up(ping, name)
        worker = None
        try:
            worker = make_worker()
            worker.work()
        except redis.RedisError as error:
            _log.warning("the queue's Redis: %s", error)
        finally:
            exit_on_signals()  # RQ's handlers belong to a worker that has ended
        if worker is not None and worker.stopped:
            return
        _log.warning("connecting to the queue again")
        time.sleep(1)


def wait_until_up(
    ping: Callable[[], None],
    name: str,
    *,
    patience: float = _START_PATIENCE,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Call `ping` until it succeeds, with longer and longer pauses.

    Raises:
        StoreUnavailable: it did not succeed within `patience` seconds.
    """
    deadline = clock() + patience
    pause = 0.2
    while True:
        try:
            return ping()
        except StoreUnavailable as error:
            left = deadline - clock()
            if left <= 0:
                raise
            _log.warning("waiting for the %s (%.0f s left): %s", name, left, error.detail)
        sleep(min(pause, left))
        pause = min(2 * pause, 5.0)


def exit_on_signals() -> None:
    """Let SIGTERM and SIGINT end the process at once, with status 0: no job is running."""

    def leave(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001  # a signal handler's signature
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
