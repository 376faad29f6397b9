"""Where the time of one request goes, for the `Server-Timing` header, the metrics and its trace."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from shared.observe import tracing

STAGES = {
    "receive": "the request comes in, from its first byte to its last: the client's network",
    "thread": "it waits for a thread",
    "admit": "who asks, whether he may, how often: with tokens or rate limits a question to Redis",
    "parse": "the body is read and checked; of an upload, hashed",
    "store": "an upload is kept and queued",
    "wait": "the embedding is not there: the client waits for it, as long as it said, or hears so",
    "fetch": "the embedding comes from Redis",
    "prepare": "it is handed to the decoder",
    "turn": "others decode: it waits for its turn",
    "decode": "the mask decoder; a prompt may wait here for the image side of its image",
    "encode": "masks at the original's size, in the format asked for",
    "keep": "logits that no mask token can carry are stored",
    "serialise": "the answer is written as JSON",
    "other": "all that is none of these",
}
"""Every stage there is, in the order a request meets them."""

_ALWAYS = ("fetch", "prepare", "decode", "encode")


class Timings:
    """Seconds per stage of one request; a stage entered twice adds up. Stages do not nest."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    @property
    def seconds(self) -> Mapping[str, float]:
        """Of every stage that was entered."""
        return self._seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self.add(name, seconds)
            tracing.current().record(name, seconds)

    def add(self, name: str, seconds: float) -> None:
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def header(self) -> str:
        """The value of `Server-Timing`, in milliseconds: four stages always, others where they were entered."""
        shown = {name: self._seconds.get(name, 0.0) for name in STAGES if name in _ALWAYS or name in self._seconds}
        return ", ".join(f"{name};dur={seconds * 1000:.2f}" for name, seconds in shown.items())
