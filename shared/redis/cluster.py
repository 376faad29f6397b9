"""A Redis Cluster: one plain client per node, and the map that says which of them has a key.

redis-py's own `RedisCluster` connects when it is made, and reads the map anew inside every request that meets a dead
node, while all others wait for it. Here the nodes' clients are those of `shared.redis.connections`, each with a circuit
breaker of its own, so a node that hangs costs the keys of the others nothing; and the map is read once a second at
most.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import redis
from redis.crc import key_slot
from redis.exceptions import AskError, ClusterDownError, MovedError

from shared.redis import allowance
from shared.redis.url import Address

SLOTS = 16_384

REFRESH_PAUSE = 1.0
"""Seconds between two readings of the map while something is wrong with it: what a failover costs on top."""

_REDIRECTS = 4
_LONGEST_WAIT = 30.0  # seconds for another thread's reading of the map, where no allowance is shorter

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Cluster:
    """Runs operations at the nodes that have their keys. Safe for threads; connects when it is first used."""

    def __init__(
        self,
        seeds: Sequence[Address],
        connect: Callable[[Address], redis.Redis],
        *,
        retire: Callable[[redis.Redis], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        seeds: some nodes, asked for the others while none of those is known or answers.
        connect: makes the client of one node; it connects when it is first used.
        retire: told of the client of a node that is none any more.
        """
        self._seeds = tuple(seeds)
        self._connect = connect
        self._retire = retire
        self._clock = clock
        self._clients: dict[Address, redis.Redis] = {}
        self._owners: list[Address | None] = []
        self._reading = threading.Lock()
        self._read_again = 0.0

    def run(self, key: str, operation: Callable[[redis.Redis], T]) -> T:
        """What `operation` returns, given a client of the node that has `key`.

        It is called again where a node sends it elsewhere, having done nothing. Each call must send one command, and
        that on one key: while a slot is on its way to another node, a permission to ask there is for one command.

        Raises:
            redis.RedisError: that node does not answer, or the cluster has none for the key.
        """
        slot = key_slot(key.encode())
        node, asking = self._owner(slot), False
        for _ in range(_REDIRECTS):
            try:
                return self._ask(node, operation, asking=asking)
            except MovedError as error:
                node, asking = _target(error, node), False
                self._owners[slot] = node
                self._refresh()
            except AskError as error:
                node, asking = _target(error, node), True
            except (redis.ConnectionError, redis.TimeoutError, ClusterDownError):
                self._refresh(failed=node)
                raise
        raise redis.exceptions.ClusterError("the nodes send each other a key around")

    def ping(self) -> None:
        """Return if the cluster works, by the word of any of its nodes. It may, while some of them are down.

        Raises:
            redis.RedisError: no node that answers says so.
        """
        for address in self._nodes():
            try:
                info = _say(self._client(address), "CLUSTER", "INFO")
            except redis.RedisError as error:
                _log.warning("cluster node %s:%d: %s", *address, error)
                continue
            if b"cluster_state:ok" in bytes(info):
                return
        raise redis.ConnectionError("no node of the cluster says that it works")

    def close(self) -> None:
        for client in list(self._clients.values()):
            client.close()

    def _ask(self, node: Address, operation: Callable[[redis.Redis], T], *, asking: bool) -> T:
        client = self._client(node)
        if not asking:
            return operation(client)
        with client.client() as one_connection:  # type: ignore[no-untyped-call]  # redis-py has no annotation here
            _say(one_connection, "ASKING")
            return operation(one_connection)

    def _owner(self, slot: int) -> Address:
        if not self._owners:
            self._read_first()
        node = self._owners[slot]
        if node is None:
            self._refresh()
            node = self._owners[slot]
        if node is None:
            raise ClusterDownError("no node serves this key")
        return node

    def _read_first(self) -> None:
        """Have a map, waiting for another thread that is reading it."""
        granted = allowance.current()
        began = self._clock()
        read = self._reading.acquire(timeout=_LONGEST_WAIT if granted is None else granted.left)
        if granted is not None:
            granted.spend(self._clock() - began)
        if not read:
            raise redis.TimeoutError("nobody has found the nodes of the cluster yet")
        try:
            if not self._owners:
                self._read_map(None)
        finally:
            self._reading.release()
        if not self._owners:
            raise redis.ConnectionError("no node of the cluster answers")

    def _refresh(self, *, failed: Address | None = None) -> None:
        """Read the map again, unless that was done a moment ago or is being done."""
        if self._clock() < self._read_again or _exhausted() or not self._reading.acquire(blocking=False):
            return
        try:
            self._read_again = self._clock() + REFRESH_PAUSE
            self._read_map(failed)
        finally:
            self._reading.release()

    def _read_map(self, failed: Address | None) -> None:
        nodes = sorted(self._nodes(), key=lambda address: address == failed)  # it is asked last
        for address in nodes:
            if _exhausted():
                return
            try:
                owners = owners_of_slots(_say(self._client(address), "CLUSTER", "SLOTS"), address)
            except redis.RedisError as error:
                _log.warning("cluster node %s:%d does not tell the nodes: %s", *address, error)
                continue
            kept = {*owners, *self._seeds}
            for node in [node for node in self._clients if node not in kept]:
                self._retire(self._clients.pop(node))
            self._owners = owners
            return

    def _nodes(self) -> Iterator[Address]:
        """All that are known, each once."""
        known = dict.fromkeys(node for node in self._owners if node is not None)
        yield from known
        yield from (seed for seed in self._seeds if seed not in known)

    def _client(self, address: Address) -> redis.Redis:
        client = self._clients.get(address)
        if client is None:
            client = self._clients.setdefault(address, self._connect(address))
        return client


def owners_of_slots(reply: Any, asked: Address) -> list[Address | None]:
    """The master of each of the `SLOTS` slots, None where there is none.

    Args:
        reply: to CLUSTER SLOTS: `[first, last, [host, port, id, …], replicas …]` for each range.
        asked: who replied; its host stands for one that it does not name.

    Raises:
        redis.ResponseError: that is no such reply.
    """
    owners: list[Address | None] = [None] * SLOTS
    try:
        for first, last, (host, port, *_), *_replicas in reply:
            address = Address((host or b"").decode() or asked.host, int(port))
            for slot in range(first, last + 1):
                owners[slot] = address
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise redis.ResponseError("this is no reply to CLUSTER SLOTS") from error
    return owners


def _exhausted() -> bool:
    granted = allowance.current()
    return granted is not None and granted.left <= 0


def _say(client: redis.Redis, *words: str) -> Any:
    return client.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py has no annotation here


def _target(error: AskError, asked: Address) -> Address:
    return Address(error.host or asked.host, int(error.port))
