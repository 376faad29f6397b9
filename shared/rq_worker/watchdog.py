"""What watches a running job: heartbeats that renew its lease, a time limit, and a deadline behind it. And what bounds
the end of a process."""

from __future__ import annotations

import faulthandler
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import redis

_log = logging.getLogger(__name__)


@contextmanager
def beating(beat: Callable[[], None], interval: float) -> Iterator[None]:
    """Call `beat` every `interval` seconds in a thread while the block runs. No error of a beat stops the next ones."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(interval):
            try:
                beat()
            except redis.RedisError as error:
                _log.warning("heartbeat lost: %s", error)
            except Exception:  # without the next beats the job would be taken for abandoned
                _log.exception("heartbeat lost")

    thread = threading.Thread(target=run, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        # A beat may hang on a stopped Redis. It does no harm if it ends later.
        thread.join(timeout=1)


class JobTimedOut(BaseException):
    """Raised inside a job that exceeds its time limit.

    It is no `Exception`: decoders and runtimes are called inside handlers that would take it for a damaged image.
    """


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise `JobTimedOut` in the block if it takes longer. Only the main thread can do this: it works by SIGALRM."""

    def end(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001  # a signal handler's signature
        raise JobTimedOut

    signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End the process, with every thread's traceback on stderr, if the block takes longer.

    For what `time_limit` cannot end: it raises in the main thread, which notices nothing while it is inside C code.
    This clock runs outside the interpreter and needs no lock of it.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def end_within(seconds: int) -> None:
    """Have the system end this process with SIGALRM after so many seconds, if it still exists then.

    For a process that is about to end, where its end itself may hang: in C code that runs after the interpreter is gone
    no other clock of this module works.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)
