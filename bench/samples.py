"""Times the two sides of a comparison in turns, and sums the times up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from bench.record import Quantity

Milliseconds = list[float]

T = TypeVar("T")


def in_turns(
    sides: Mapping[str, Callable[[T], object]], items: Sequence[T], *, warm_up: int = 2
) -> dict[str, Milliseconds]:
    """How long each side takes for each item. They take turns (A B, B A, A B, …), so that other load slows both alike.

    The order changes each time, because a side is slower after another one has filled the processor's caches.

    Args:
        warm_up: number of items at the start that do not count.
    """
    taken: dict[str, Milliseconds] = {name: [] for name in sides}
    for number, item in enumerate(items):
        for name, side in list(sides.items())[:: -1 if number % 2 else 1]:
            started = time.perf_counter()
            side(item)
            if number >= warm_up:
                taken[name].append((time.perf_counter() - started) * 1000)
    return taken


def joined(parts: Iterable[Mapping[str, Milliseconds]]) -> dict[str, Milliseconds]:
    """The samples of several runs of the same sides, in one mapping."""
    together: dict[str, Milliseconds] = {}
    for part in parts:
        for name, taken in part.items():
            together.setdefault(name, []).extend(taken)
    return together


def median(samples: Sequence[float]) -> Quantity:
    return percentile(samples, 50)


def percentile(samples: Sequence[float], percent: float) -> Quantity:
    return Quantity(float(np.percentile(samples, percent)), "ms")


def ratio(one: Quantity, other: Quantity) -> Quantity:
    return Quantity(one.value / other.value, "x")
