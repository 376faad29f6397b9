"""The store in Redis: bytes and sets under keys."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import redis

from shared.redis.cluster import Cluster
from shared.redis.failures import translated_errors

_ADD_MEMBER = 'redis.call("SADD", KEYS[1], ARGV[1]) redis.call("EXPIRE", KEYS[1], ARGV[2])'
_REMOVE_MEMBER = 'redis.call("SREM", KEYS[1], ARGV[1]) return redis.call("SCARD", KEYS[1])'
_APPEND = """
for i = 3, #ARGV do redis.call("RPUSH", KEYS[1], ARGV[i]) end
redis.call("EXPIRE", KEYS[1], ARGV[2])
local over = redis.call("LLEN", KEYS[1]) - tonumber(ARGV[1])
if over <= 0 then return {} end
local out = redis.call("LRANGE", KEYS[1], 0, over - 1)
redis.call("LTRIM", KEYS[1], over, -1)
return out
"""

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

    def append_to_row(self, key: str, entries: Sequence[str], most: int, ttl: int) -> list[str]:
        out = self._run(key, lambda client: client.eval(_APPEND, 1, key, str(most), str(ttl), *entries))
        assert isinstance(out, list)
        return [entry.decode() for entry in out if isinstance(entry, bytes)]

    def _run(self, key: str, command: Callable[[redis.Redis], T]) -> T:
        with translated_errors():
            return self._client.run(key, command) if isinstance(self._client, Cluster) else command(self._client)
