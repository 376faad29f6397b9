"""A store that waits through short outages, so that a hiccup of the cache does not cost a job."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from shared.contract.errors import StoreUnavailable
from shared.store.interface import Store

_Answer = TypeVar("_Answer")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


class PatientStore:
    """A `Store` that tries again, with back-off, until `patience` seconds have passed.

    A write that failed may have happened all the same. Writing again does no harm: a key always has the same value.
    """

    def __init__(
        self,
        store: Store,
        patience: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._patience = patience
        self._clock = clock
        self._sleep = sleep

    def get(self, key: str) -> bytes | None:
        return self._patiently(lambda: self._store.get(key))

    def put(self, key: str, value: bytes, ttl: int) -> None:
        self._patiently(lambda: self._store.put(key, value, ttl))

    def exists(self, key: str) -> bool:
        return self._patiently(lambda: self._store.exists(key))

    def delete(self, key: str) -> bool:
        return self._patiently(lambda: self._store.delete(key))

    def ping(self) -> None:
        self._patiently(self._store.ping)

    def _patiently(self, operation: Callable[[], _Answer]) -> _Answer:
        deadline = self._clock() + self._patience
        pause = _FIRST_PAUSE
        while True:
            try:
                return operation()
            except StoreUnavailable:
                if self._clock() + pause > deadline:
                    raise
            self._sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
