"""A circuit breaker: while a server hangs, now and then one caller finds out, and nobody else waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import redis

PAUSE = 0.5
"""Seconds between two callers that are let through to a server that hung: what a mere hiccup of it costs the others."""

Changed = Callable[[bool], None]
"""Told True when a breaker opens and False when it closes; must be quick."""

_log = logging.getLogger(__name__)


def unheard(_open: bool) -> None:
    """Nobody wants to know."""


class CircuitOpen(redis.ConnectionError):
    """The server was not asked: it did not answer a moment ago."""


class CircuitBreaker:
    """Closed while all is well. `trip` opens it: `check` then refuses all but one caller each `pause` seconds.

    One belongs to one client; its threads share it.
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
        self._prober: int | None = None  # thread id: the one let through may do all that its operation takes

    def check(self) -> None:
        """Return if the server may be asked.

        Raises:
            CircuitOpen: it hung, and this caller is not the one to try it again.
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
        """The server let a caller wait in vain."""
        with self._lock:
            if not self._open:
                _log.warning("Redis hangs: refusing at once, asking again each %g s", self._pause)
                self._changed(True)
            self._open, self._prober = True, None
            self._next = self._clock() + self._pause

    def close(self) -> None:
        """The server answered, be it with a refusal."""
        if not self._open:
            return
        with self._lock:
            if self._open:
                _log.warning("Redis answers again")
                self._changed(False)
            self._open, self._prober = False, None
