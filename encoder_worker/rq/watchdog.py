"""What watches a running job: a heartbeat that renews its lease, a time limit, and a deadline behind it."""

from __future__ import annotations

import faulthandler
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import redis
from rq.timeouts import UnixSignalDeathPenalty

_log = logging.getLogger(__name__)


@contextmanager
def heartbeat(beat: Callable[[], None], interval: float) -> Iterator[None]:
    """Call `beat` each `interval` seconds in a thread while the block runs. A beat that fails is skipped."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(interval):
            try:
                beat()
            except redis.RedisError as error:
                _log.warning("heartbeat lost: %s", error)

    thread = threading.Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        # A beat may hang on a stopped Redis; it does no harm later.
        thread.join(timeout=1)


class JobTimedOut(BaseException):
    """Raised inside a job that exceeds its time limit.

    No `Exception`: decoders and runtimes are wrapped in handlers that would call it a damaged image.
    """


class TimeLimit(UnixSignalDeathPenalty):
    """RQ's time-out of a job, by SIGALRM, raising `JobTimedOut`."""

    def handle_death_penalty(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002  # a signal handler
        raise JobTimedOut


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End the process, with every thread's traceback on stderr, if the block takes longer.

    For what `TimeLimit` cannot end: it raises in the main thread, which never notices while it is inside
    C code. This clock runs outside the interpreter and needs no lock of it.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
