"""Faults of the network between every process and Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.scenery import Break, Scenery
from tests.support.proxy import FAIR, Weather


def bad_weather(weather: Weather, *, times: float = 1.0) -> Break:
    """Set bad weather on every link, for `times` the duration of other faults."""

    @contextmanager
    def inject(scenery: Scenery) -> Iterator[None]:
        scenery.stack.set_weather(weather)
        try:
            scenery.stay(times)
        finally:
            scenery.stack.set_weather(FAIR)
        yield

    return inject


@contextmanager
def resets(scenery: Scenery) -> Iterator[None]:
    """Reset all connections again and again, at random moments."""
    until = time.monotonic() + scenery.hold
    while time.monotonic() < until:
        scenery.stack.reset()
        time.sleep(scenery.dice.uniform(0.05, 0.4))
    yield


SURPLUS = (b"-ERR nobody asked\r\n", b"nonsense\r\n")
"""A reply that nobody asked for, and what is no reply at all. A request that is under way already may take either for
its own: so neither is one from which anything could be concluded."""


@contextmanager
def surplus_replies(scenery: Scenery) -> Iterator[None]:
    """Every connection that waits for nothing is sent a reply, so that each later one would answer the one before."""
    for reply in SURPLUS:
        scenery.stack.send_surplus(reply)
        scenery.stay(1 / len(SURPLUS))
    yield


@contextmanager
def forgotten(scenery: Scenery) -> Iterator[None]:
    """Silence every open connection for good without closing it. New connections work."""
    scenery.stack.forget()
    yield
