"""Faults of the network between every process and Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.scenery import Break, Scenery
from tests.support.proxy import FAIR, Weather


def bad_weather(weather: Weather, *, times: float = 1.0) -> Break:
    """Bad weather on every link, for as many times as long as other faults."""

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
    """Connections are reset again and again, at moments of no meaning."""
    until = time.monotonic() + scenery.hold
    while time.monotonic() < until:
        scenery.stack.reset()
        time.sleep(scenery.dice.uniform(0.05, 0.4))
    yield


@contextmanager
def forgotten(scenery: Scenery) -> Iterator[None]:
    """Every connection falls silent for good without being closed; new ones work."""
    scenery.stack.forget()
    yield
