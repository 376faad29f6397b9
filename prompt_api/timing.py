"""Where the time of one request goes, for the `Server-Timing` header and for its trace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from shared import tracing

STAGES = ("fetch", "prepare", "decode", "encode")


class Timings:
    """Milliseconds per stage of one request; a stage entered twice adds up."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self._seconds[name] += seconds
            tracing.current().record(name, seconds)

    def header(self) -> str:
        """The value of `Server-Timing`: every stage, in milliseconds."""
        return ", ".join(f"{name};dur={seconds * 1000:.2f}" for name, seconds in self._seconds.items())
