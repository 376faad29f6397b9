"""Where bytes are kept under keys."""

from __future__ import annotations

from typing import Protocol


class Store(Protocol):
    """Bytes under keys, each with a time to live. Any operation may raise `StoreUnavailable`.

    A value once written may vanish at any time (eviction, expiry, restart); it never changes by itself.
    """

    def get(self, key: str) -> bytes | None:
        """The value, or None where there is none (any more)."""
        ...

    def put(self, key: str, value: bytes, ttl: int) -> None:
        """Keep `value` for `ttl` seconds, replacing what was there."""
        ...

    def exists(self, key: str) -> bool: ...

    def delete(self, key: str) -> bool:
        """Forget the key; True if it was there."""
        ...

    def ping(self) -> None:
        """Return if the store answers."""
        ...


class Sets(Protocol):
    """Sets of short strings under keys, each set with a time to live. Any operation may raise `StoreUnavailable`.

    As values, a whole set may vanish at any time.
    """

    def add_member(self, key: str, member: str, ttl: int) -> None:
        """Have `member` in the set, and keep the set for `ttl` seconds from now."""
        ...

    def members(self, key: str) -> frozenset[str]:
        """All of them; empty where there is no set (any more)."""
        ...

    def remove_member(self, key: str, member: str) -> int:
        """Have `member` not in the set; how many are left, counted in the same instant."""
        ...


class StoreWithSets(Store, Sets, Protocol):
    """Both."""
