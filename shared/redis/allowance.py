"""How long the request at hand may wait for Redis, all its operations together.

A time-out bounds one answer of one operation. What a client meets is the sum: ten slow round trips, or a value of
2 MB that trickles. So each request gets an allowance; `shared.redis.guarded` spends it. Threads without one (a worker,
whoever hears events) wait as their client's time-outs say.
"""

from __future__ import annotations

from contextvars import ContextVar

_current: ContextVar[Allowance | None] = ContextVar("allowance", default=None)


GRACE = 0.05
"""Seconds of each operation that are not charged: on a busy machine that much is a wait for a processor."""


class Allowance:
    """Seconds of waiting, to be spent once.

    Attributes:
        left: what is left of them; never negative.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._grace = 0.0
        self.left = seconds

    def begin_operation(self) -> None:
        self._grace = GRACE

    def spend(self, seconds: float) -> None:
        free = min(self._grace, seconds)
        self._grace -= free
        self.left = max(0.0, self.left - (seconds - free))

    def renew(self) -> None:
        self.left = self._seconds


def grant(seconds: float) -> None:
    """Give this context an allowance, in place of any that it has."""
    _current.set(Allowance(seconds))


def revoke() -> None:
    _current.set(None)


def current() -> Allowance | None:
    return _current.get()


def renew() -> None:
    """Start anew, for another look after a wait that the client asked for."""
    allowance = _current.get()
    if allowance is not None:
        allowance.renew()
