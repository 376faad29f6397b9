"""A thread-safe LRU cache capped in bytes, with counters and single-flight loading."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from threading import Lock
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    @property
    def nbytes(self) -> int: ...


K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Sized)


@dataclass(slots=True)
class LruStats:
    """Counters since start, and what is held now."""

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    bytes: int = 0
    entries: int = 0


class ByteLru(Generic[K, V]):
    """Keeps the most recently used values whose `nbytes` sum to at most `capacity`.

    A value larger than the capacity is not kept.
    """

    def __init__(self, capacity: int, changed: Callable[[LruStats], None] = lambda _: None) -> None:
        """Args:
        changed: called after each change of what is held. It must be quick, and must not use this cache.
        """
        self._capacity = capacity
        self._changed = changed
        self._lock = Lock()
        self._values: OrderedDict[K, V] = OrderedDict()
        self._loading: dict[K, Future[V]] = {}
        self._discards = 0
        self._stats = LruStats()

    def get(self, key: K) -> V | None:
        with self._lock:
            value = self._values.get(key)
            if value is None:
                self._stats.misses += 1
            else:
                self._stats.hits += 1
                self._values.move_to_end(key)
            return value

    def put(self, key: K, value: V) -> None:
        with self._lock:
            self._keep(key, value)
            self._tell()

    def get_or_load(self, key: K, load: Callable[[], V], *, timeout: float) -> V:
        """Return the kept value, or load and keep it. Threads that miss at the same time load it once.

        An error of `load` reaches every thread that waited for it. A value that was discarded while it
        loaded is returned but not kept.

        Raises:
            TimeoutError: another thread has been loading this value for `timeout` seconds.
        """
        value = self.get(key)
        if value is not None:
            return value
        with self._lock:
            shared = self._loading.get(key)
            mine: Future[V] = Future()
            if shared is None:
                self._loading[key] = mine
            discards = self._discards
        if shared is not None:
            return shared.result(timeout)
        try:
            value = load()
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(value)
            with self._lock:
                if discards == self._discards:
                    self._keep(key, value)
                    self._tell()
            return value
        finally:
            with self._lock:
                del self._loading[key]

    def discard(self, wanted: Callable[[K], bool]) -> None:
        """Forget every entry whose key is `wanted`."""
        with self._lock:
            self._discards += 1
            for key in [key for key in self._values if wanted(key)]:
                self._remove(key)
            self._tell()

    def keys(self) -> list[K]:
        """Return the keys of the kept values, the least recently used first."""
        with self._lock:
            return list(self._values)

    def stats(self) -> LruStats:
        with self._lock:
            return replace(self._stats)

    def _keep(self, key: K, value: V) -> None:
        self._remove(key)
        if value.nbytes > self._capacity:
            return
        self._values[key] = value
        self._stats.bytes += value.nbytes
        while self._stats.bytes > self._capacity:
            self._remove(next(iter(self._values)))
            self._stats.evictions += 1

    def _tell(self) -> None:
        self._stats.entries = len(self._values)
        self._changed(self._stats)

    def _remove(self, key: K) -> None:
        value = self._values.pop(key, None)
        if value is not None:
            self._stats.bytes -= value.nbytes
