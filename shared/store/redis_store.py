"""The store in Redis: bytes and sets under keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import redis

from shared.redis.cluster import Cluster
from shared.redis.failures import translated_errors
from shared.redis.replies import UnexpectedReply

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
_RENEW = 'redis.call("LREM", KEYS[1], 0, ARGV[3])' + _APPEND

T = TypeVar("T")


class RedisStore:
    """A `StoreWithSets` in Redis or Valkey, one server or a cluster: each operation is one command on one key.

    The clients must have short time-outs and `decode_responses` off.
    """

    def __init__(self, client: redis.Redis | Cluster) -> None:
        self._client = client

    def get(self, key: str) -> bytes | None:
        return self._run(key, lambda client: _value(client.get(key)))

    def put(self, key: str, value: bytes, ttl: int) -> None:
        self._run(key, lambda client: _done(client.set(key, value, ex=ttl)))

    def exists(self, key: str) -> bool:
        return self._run(key, lambda client: _count(client.exists(key))) > 0

    def delete(self, key: str) -> bool:
        return self._run(key, lambda client: _count(client.unlink(key))) > 0

    def delete_together(self, keys: Sequence[str]) -> None:
        if keys:
            self._run(keys[0], lambda client: _unlink(client, keys))

    def ping(self) -> None:
        with translated_errors(self._client):
            self._client.ping()

    def add_member(self, key: str, member: str, ttl: int) -> None:
        self._run(key, lambda client: client.eval(_ADD_MEMBER, 1, key, member, str(ttl)))

    def members(self, key: str) -> frozenset[str]:
        return self._run(key, lambda client: _texts(client.smembers(key)))

    def remove_member(self, key: str, member: str) -> int:
        return self._run(key, lambda client: _count(client.eval(_REMOVE_MEMBER, 1, key, member)))

    def append_to_row(self, key: str, entries: Sequence[str], most: int, ttl: int) -> list[str]:
        return self._run(key, lambda client: _row(client.eval(_APPEND, 1, key, str(most), str(ttl), *entries)))

    def renew_in_row(self, key: str, entry: str, most: int, ttl: int) -> list[str]:
        return self._run(key, lambda client: _row(client.eval(_RENEW, 1, key, str(most), str(ttl), entry)))

    def row(self, key: str) -> list[str]:
        return self._run(key, lambda client: _row(client.lrange(key, 0, -1)))

    def _run(self, key: str, command: Callable[[redis.Redis], T]) -> T:
        with translated_errors(self._client):
            return self._client.run(key, command) if isinstance(self._client, Cluster) else command(self._client)


def _unlink(client: redis.Redis, keys: Sequence[str]) -> None:
    """Delete the keys by one command each, in one round trip."""
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.unlink(key)
        for reply in pipeline.execute():
            _count(reply)


def _value(reply: object) -> bytes | None:
    if reply is None or isinstance(reply, bytes):
        return reply
    raise UnexpectedReply("a value is bytes, or absent")


def _done(reply: object) -> None:
    if reply is not True:
        raise UnexpectedReply("the value was not stored")


def _count(reply: object) -> int:
    if type(reply) is not int:
        raise UnexpectedReply("a count is a number")
    return reply


def _texts(reply: object) -> frozenset[str]:
    if isinstance(reply, set | list) and all(isinstance(member, bytes) for member in reply):
        return frozenset(member.decode(errors="replace") for member in reply)
    raise UnexpectedReply("the members of a set are bytes")


def _row(reply: object) -> list[str]:
    if isinstance(reply, list) and all(isinstance(entry, bytes) for entry in reply):
        return [entry.decode(errors="replace") for entry in reply]
    raise UnexpectedReply("the entries of a row are bytes")
