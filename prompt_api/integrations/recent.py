"""Remembers the image id of a task's reference for a while, so that the next click does not fetch the image again."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

CAPACITY = 4096
TTL = 600.0
"""Seconds after which an image is fetched again, because the file behind a path may change."""


class RecentImages:
    """Image ids by reference. At capacity, the oldest entry is dropped. Thread-safe."""

    def __init__(
        self, *, capacity: int = CAPACITY, ttl: float = TTL, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._capacity = capacity
        self._ttl = ttl
        self._clock = clock
        self._lock = Lock()
        self._known: OrderedDict[Hashable, tuple[float, str]] = OrderedDict()

    def get(self, reference: Hashable) -> str | None:
        with self._lock:
            until, image_id = self._known.get(reference, (0.0, None))
            return image_id if image_id is not None and self._clock() < until else None

    def put(self, reference: Hashable, image_id: str) -> None:
        with self._lock:
            self._known.pop(reference, None)
            self._known[reference] = (self._clock() + self._ttl, image_id)
            while len(self._known) > self._capacity:
                self._known.popitem(last=False)

    def forget(self, reference: Hashable) -> None:
        """Drop the entry if there is one: the service no longer has the image."""
        with self._lock:
            self._known.pop(reference, None)
