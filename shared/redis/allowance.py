"""How long the current request may wait for Redis in all its operations together.

A time-out bounds one read of one operation. A request waits for the sum: ten slow round trips, or a value of 2 MB that
arrives slowly. So each request gets an allowance, and `shared.redis.guarded` spends it. A thread without an allowance
(a worker, or the listener for events) waits as long as the time-outs of its client allow.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_current: ContextVar[Allowance | None] = ContextVar("allowance", default=None)


GRACE = 0.05
"""Seconds of each operation that are not charged: on a busy machine, a thread waits that long for a CPU."""


class Allowance:
    """A budget of seconds that a request may wait.

    Attributes:
        left: seconds that are left; never negative.
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
    """Give this context an allowance. It replaces an earlier one."""
    _current.set(Allowance(seconds))


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Let this context wait at most so long for Redis inside the block, and never longer than is left to it.

    What is waited inside the block is spent from the outer allowance too. Without one, it is the only bound.
    """
    outer = _current.get()
    inner = Allowance(seconds if outer is None else min(seconds, outer.left))
    granted = inner.left
    before = _current.set(inner)
    try:
        yield
    finally:
        _current.reset(before)
        if outer is not None:
            outer.left = max(0.0, outer.left - (granted - inner.left))


def revoke() -> None:
    _current.set(None)


def current() -> Allowance | None:
    return _current.get()


def renew() -> None:
    """Fill the allowance up again, for the next check after a wait that the client asked for."""
    allowance = _current.get()
    if allowance is not None:
        allowance.renew()
