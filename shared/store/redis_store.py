"""The store in Redis: bytes and sets under keys."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import redis

from shared.redis.cluster import Cluster
from shared.redis.failures import translated_errors

_ADD_MEMBER = 'redis.call("SADD", KEYS[1], ARGV[1]) redis.call("EXPIRE", KEYS[1], ARGV[2])'
_REMOVE_MEMBER = 'redis.call("SREM", KEYS[1], ARGV[1]) return redis.call("SCARD", KEYS[1])'

T = TypeVar("T")

_log = logging.getLogger(__name__)


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
