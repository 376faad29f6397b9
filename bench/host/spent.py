"""Processor time by what it was spent on."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

_TICK = os.sysconf("SC_CLK_TCK")

WORKER = "worker, all processes"
SERVER = "Redis' own process"

Row = dict[str, Any]
"""Images per second, and the processor's milliseconds per image by stage."""


def row(images: int, seconds: float, processor_ms: dict[str, float]) -> Row:
    return {"images": images, "images_per_second": images / seconds, "processor_ms": processor_ms}


class Spent:
    """Processor seconds of this process's threads, by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()
        self._inside = threading.local()

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function`, whose time counts for the stage. What is timed inside it counts for its own stage."""

        def measured(*args: Any, **options: Any) -> Any:
            outer = getattr(self._inside, "seconds", 0.0)
            self._inside.seconds = 0.0
            began = time.thread_time()
            try:
                return function(*args, **options)
            finally:
                took = time.thread_time() - began
                with self._lock:
                    self.seconds[stage] = self.seconds.get(stage, 0.0) + took - self._inside.seconds
                self._inside.seconds = outer + took

        return measured


class Metered:
    """Another object, each of whose methods counts for a stage."""

    def __init__(self, inner: Any, spent: Spent, stages: dict[str, str], other: str) -> None:
        """
        Args:
            stages: by the method's name.
            other: the stage of all other methods.
        """
        self._inner, self._spent, self._stages, self._other = inner, spent, stages, other

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._spent.timed(self._stages.get(name, self._other), found) if callable(found) else found


class Clocks:
    """Reads the processor time of this process, of those that decode for it, and of a Redis server."""

    def __init__(self, spent: Spent, decoders: Sequence[int], server: int | None) -> None:
        """
        Args:
            decoders, server: process ids.
        """
        self._spent, self._decoders, self._server = spent, decoders, server
        self._began = self._read()

    def per_image(self, images: int) -> dict[str, float]:
        """Milliseconds per image since this object was made, by stage."""
        ms = {name: 1000 * (value - self._began.get(name, 0.0)) / images for name, value in self._read().items()}
        process, children, server = ms.pop("process"), ms.pop("children"), ms.pop(SERVER)
        stages = {name: value for name, value in ms.items() if value}
        if children:
            stages["the processes that decode"] = children
        stages["the rest of the worker"] = process - sum(ms.values())
        return {**stages, WORKER: process + children, SERVER: server}

    def _read(self) -> dict[str, float]:
        own = resource.getrusage(resource.RUSAGE_SELF)
        return {
            **self._spent.seconds,
            "process": own.ru_utime + own.ru_stime,
            "children": sum(map(processor_seconds, self._decoders)),
            SERVER: processor_seconds(self._server) if self._server else 0.0,
        }


def processor_seconds(pid: int) -> float:
    """What a process of this machine has spent since it began, in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK
