"""Protocols for a store that keeps bytes and sets under keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Store(Protocol):
    """Bytes under keys, each with a time to live. Any operation may raise `StoreUnavailable`.

    A stored value may vanish at any time (eviction, expiry, restart). It never changes by itself.
    """

    def get(self, key: str) -> bytes | None:
        """Return the value, or None if the key has no value (any more)."""
        ...

    def put(self, key: str, value: bytes, ttl: int) -> None:
        """Keep `value` for `ttl` seconds. It replaces an older value."""
        ...

    def exists(self, key: str) -> bool: ...

    def delete(self, key: str) -> bool:
        """Delete the key. Return True if it existed."""
        ...

    def ping(self) -> None:
        """Return if the store answers."""
        ...


class Sets(Protocol):
    """Sets of short strings under keys, each set with a time to live. Any operation may raise `StoreUnavailable`.

    Like a value, a whole set may vanish at any time.
    """

    def add_member(self, key: str, member: str, ttl: int) -> None:
        """Add `member` to the set, and keep the set for `ttl` seconds from now."""
        ...

    def members(self, key: str) -> frozenset[str]:
        """Return all members; empty if there is no set (any more)."""
        ...

    def remove_member(self, key: str, member: str) -> int:
        """Remove `member` from the set. Return how many members are left, counted in the same atomic step."""
        ...


class Rows(Protocol):
    """Rows of short strings under keys, each row with a time to live. Any operation may raise `StoreUnavailable`.

    Like a value, a whole row may vanish at any time.
    """

    def append_to_row(self, key: str, entries: Sequence[str], most: int, ttl: int) -> list[str]:
        """Append `entries` to the row, and keep the row for `ttl` seconds from now.

        Returns:
            The oldest entries, which were taken out in the same atomic step so that at most `most` are left.
        """
        ...

    def renew_in_row(self, key: str, entry: str, most: int, ttl: int) -> list[str]:
        """Do what `append_to_row` does with one entry, which is in the row only once: an older one is taken out."""
        ...

    def row(self, key: str) -> list[str]:
        """Return the entries, the oldest first; empty if there is no row (any more)."""
        ...


class StoreWithSets(Store, Sets, Rows, Protocol):
    """A store of bytes, sets and rows."""

    def delete_together(self, keys: Sequence[str]) -> None:
        """Delete values, sets and rows of one image, in one round trip. A Cluster has all of them on one node."""
        ...
