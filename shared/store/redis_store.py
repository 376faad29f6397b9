"""Where bytes are kept under keys: the Protocol, and the one in Redis."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import redis

from shared.contract.errors import StoreUnavailable
from shared.redis.cluster import Cluster

_ADD_MEMBER = 'redis.call("SADD", KEYS[1], ARGV[1]) redis.call("EXPIRE", KEYS[1], ARGV[2])'
_REMOVE_MEMBER = 'redis.call("SREM", KEYS[1], ARGV[1]) return redis.call("SCARD", KEYS[1])'

T = TypeVar("T")

_log = logging.getLogger(__name__)


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


class RedisStore:
    """A `StoreWithSets` in Redis or Valkey, one server or a cluster: each operation is one command on one key.

    The clients must have short time-outs and `decode_responses` off.
    """

    def __init__(self, client: redis.Redis | Cluster) -> None:
        self._client = client

    def get(self, key: str) -> bytes | None:
        value = self._run(key, lambda client: client.get(key))
        assert value is None or isinstance(value, bytes)
        return value

    def put(self, key: str, value: bytes, ttl: int) -> None:
        self._run(key, lambda client: client.set(key, value, ex=ttl))

    def exists(self, key: str) -> bool:
        return bool(self._run(key, lambda client: client.exists(key)))

    def delete(self, key: str) -> bool:
        return bool(self._run(key, lambda client: client.unlink(key)))

    def ping(self) -> None:
        with translated_errors():
            self._client.ping()

    def add_member(self, key: str, member: str, ttl: int) -> None:
        self._run(key, lambda client: client.eval(_ADD_MEMBER, 1, key, member, str(ttl)))

    def members(self, key: str) -> frozenset[str]:
        found = self._run(key, lambda client: client.smembers(key))
        assert isinstance(found, set)
        return frozenset(member.decode() for member in found if isinstance(member, bytes))

    def remove_member(self, key: str, member: str) -> int:
        left = self._run(key, lambda client: client.eval(_REMOVE_MEMBER, 1, key, member))
        assert isinstance(left, int)
        return left

    def _run(self, key: str, command: Callable[[redis.Redis], T]) -> T:
        with translated_errors():
            return self._client.run(key, command) if isinstance(self._client, Cluster) else command(self._client)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn any failure of Redis inside the block into `StoreUnavailable`."""
    try:
        yield
    except redis.RedisError as error:
        # What Redis says may name hosts: it is for the log, the sentence for clients.
        _log.warning("Redis: %s: %s", type(error).__name__, error)
        raise StoreUnavailable("Redis is out of reach, or refuses to work", retry_after=1) from error
