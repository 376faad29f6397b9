"""Slots for requests that keep their thread while they wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prompt_api.http.services import services


@contextmanager
def thread_to_wait(*, needed: bool = True) -> Iterator[bool]:
    """Give the block True if it may keep its thread while it waits. At most half of the threads may.

    Args:
        needed: False if the block does not wait. Then it gets False.
    """
    slots = services().waiters
    granted = needed and slots.acquire(blocking=False)
    try:
        yield granted
    finally:
        if granted:
            slots.release()
