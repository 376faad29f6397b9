"""A circuit breaker: while a server hangs, one caller at a time tests it, and all others are refused at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import redis

PAUSE = 0.5
"""Seconds between two callers that may test a server that hung. A short hiccup costs the other callers this long."""

Changed = Callable[[bool], None]
"""Called with True when a breaker opens and with False when it closes. It must be quick."""

_log = logging.getLogger(__name__)


def unheard(_open: bool) -> None:
    """Ignore the change of a breaker."""


class CircuitOpen(redis.ConnectionError):
    """The server was not asked, because it did not answer a moment ago."""


class CircuitBreaker:
    """Closed in normal operation. `trip` opens it; then `check` lets one caller pass each `pause` seconds.

    A breaker belongs to one client. The threads of the client share it.
    """

    def __init__(
        self,
        *,
        pause: float = PAUSE,
        clock: Callable[[], float] = time.monotonic,
        changed: Changed = unheard,
    ) -> None:
        self._pause = pause
        self._clock = clock
        self._changed = changed
        self._lock = threading.Lock()
        self._open = False
        self._next = 0.0
        self._prober: int | None = None  # thread id: the caller that passed may finish its operation

    def check(self) -> None:
        """Return if the caller may ask the server.

        Raises:
            CircuitOpen: the server hung, and it is not this caller's turn to test it.
        """
        if not self._open:
            return
        with self._lock:
            now, caller = self._clock(), threading.get_ident()
            if not self._open or (caller == self._prober and now < self._next):
                return
            if now < self._next:
                raise CircuitOpen("not asked: it did not answer a moment ago")
            self._prober, self._next = caller, now + self._pause

    def trip(self) -> None:
        """Record that the server did not answer in time."""
        with self._lock:
            if not self._open:
                _log.warning("Redis hangs: refusing at once, asking again each %g s", self._pause)
                self._changed(True)
            self._open, self._prober = True, None
            self._next = self._clock() + self._pause

    def close(self) -> None:
        """Record that the server answered, even if it refused."""
        if not self._open:
            return
        with self._lock:
            if self._open:
                _log.warning("Redis answers again")
                self._changed(False)
            self._open, self._prober = False, None
