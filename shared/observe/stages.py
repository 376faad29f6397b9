"""Measures how long the stages of one request or one job take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from shared.observe import tracing


class Stages:
    """Seconds per stage. The times of a stage that runs twice are added up. Stages do not nest.

    A stage is recorded in the span that was current when this object was created, whichever thread the stage ends in.
    """

    def __init__(self, on_end: Callable[[str, float], None] | None = None) -> None:
        """Args:
        on_end: called with the name and the seconds of each stage that ends.
        """
        self._on_end = on_end
        self._span = tracing.current()
        self._seconds: dict[str, float] = {}
        self._lap_began = time.perf_counter()

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds of every stage that has ended."""
        return self._seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the block as a stage."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._end(name, time.perf_counter() - began)

    def lap(self, name: str) -> None:
        """End a stage now. It began when the last lap ended, or when this object was created."""
        now = time.perf_counter()
        self._end(name, now - self._lap_began)
        self._lap_began = now

    def lap_of_two(self, first: str, second: str, seconds: float) -> None:
        """End two stages now, as `lap` ends one. The second one took `seconds` of the lap, or all of it."""
        now = time.perf_counter()
        both = now - self._lap_began
        last = min(seconds, both)
        self._end(first, both - last)
        self._end(second, last)
        self._lap_began = now

    def add(self, name: str, seconds: float) -> None:
        """Add time that was measured elsewhere. It does not appear in a trace."""
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def _end(self, name: str, seconds: float) -> None:
        self.add(name, seconds)
        self._span.record(name, seconds)
        if self._on_end is not None:
            self._on_end(name, seconds)
