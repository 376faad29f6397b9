"""Runs a function on many things in a pool of threads, and gives the results in order, a few ahead of the reader."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")


def in_order(
    pool: ThreadPoolExecutor, ahead: int, function: Callable[[A], R], items: Iterable[A]
) -> Generator[R, None, None]:
    """Yield `function` of each item. Whoever closes the generator cancels what has not begun.

    Args:
        ahead: at most so many results wait for the reader, so that they do not take more and more memory.
    """
    running: deque[Future[R]] = deque()
    try:
        for item in items:
            running.append(pool.submit(function, item))
            if len(running) > ahead:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()
