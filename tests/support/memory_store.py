"""A store inside one process: it keeps what Redis keeps for the service."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Lock


class MemoryStore:
    """A `StoreWithSets` inside one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._values: dict[str, tuple[bytes, float]] = {}
        self._sets: dict[str, tuple[frozenset[str], float]] = {}
        self._rows: dict[str, tuple[list[str], float]] = {}

    def get(self, key: str) -> bytes | None:
        with self._lock:
            value, expires = self._values.get(key, (None, 0.0))
            if value is None or self._clock() >= expires:
                self._values.pop(key, None)
                return None
            return value

    def put(self, key: str, value: bytes, ttl: int) -> None:
        with self._lock:
            self._values[key] = (value, self._clock() + ttl)

    def exists(self, key: str) -> bool:
        return self.get(key) is not None

    def delete(self, key: str) -> bool:
        with self._lock:
            self._sets.pop(key, None)
            value, expires = self._values.pop(key, (None, 0.0))
            return value is not None and self._clock() < expires

    def delete_together(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.delete(key)
            with self._lock:
                self._rows.pop(key, None)

    def ping(self) -> None:
        return None

    def add_member(self, key: str, member: str, ttl: int) -> None:
        with self._lock:
            self._sets[key] = (self._living(key) | {member}, self._clock() + ttl)

    def members(self, key: str) -> frozenset[str]:
        with self._lock:
            return self._living(key)

    def remove_member(self, key: str, member: str) -> int:
        with self._lock:
            left = self._living(key) - {member}
            if left:
                self._sets[key] = (left, self._sets[key][1])
            else:
                self._sets.pop(key, None)
            return len(left)

    def append_to_row(self, key: str, entries: Sequence[str], most: int, ttl: int) -> list[str]:
        with self._lock:
            row, expires = self._rows.get(key, ([], 0.0))
            row = [*(row if self._clock() < expires else []), *entries]
            over = max(0, len(row) - most)
            self._rows[key] = (row[over:], self._clock() + ttl)
            return row[:over]

    def renew_in_row(self, key: str, entry: str, most: int, ttl: int) -> list[str]:
        with self._lock:
            if key in self._rows:
                row, expires = self._rows[key]
                self._rows[key] = ([kept for kept in row if kept != entry], expires)
        return self.append_to_row(key, [entry], most, ttl)

    def row(self, key: str) -> list[str]:
        with self._lock:
            row, expires = self._rows.get(key, ([], 0.0))
            return list(row) if self._clock() < expires else []

    def _living(self, key: str) -> frozenset[str]:
        members, expires = self._sets.get(key, (frozenset(), 0.0))
        return members if self._clock() < expires else frozenset()

    def names(self) -> list[str]:
        """Keys of all values that have not expired."""
        with self._lock:
            return [key for key, (_, expires) in self._values.items() if self._clock() < expires]
