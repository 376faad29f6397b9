"""A Redis Cluster: one plain client per node, and a map from each key's slot to its node.

redis-py's own `RedisCluster` connects when it is created. It reads the map again inside every request that meets a dead
node, and all other requests wait for that. Here each node has a client of `shared.redis.connections` with its own
circuit breaker, so a node that hangs does not affect the keys of other nodes. The map is read at most once a second.
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
"""Seconds between two readings of the map while it is wrong. A failover can take this much longer for clients."""

_REDIRECTS = 4
_LONGEST_WAIT = 30.0  # seconds to wait while another thread reads the map, if there is no allowance

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Cluster:
    """Runs each operation on the node that has its key. Thread-safe. It connects when it is first used."""

    def __init__(
        self,
        seeds: Sequence[Address],
        connect: Callable[[Address], redis.Redis],
        *,
        retire: Callable[[redis.Redis], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        seeds: some nodes of the cluster. They are asked for the other nodes if no known node answers.
        connect: creates the client of one node. The client connects when it is first used.
        retire: called with the client of a node that has left the cluster.
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
        """Call `operation` with a client of the node that has `key`, and return its result.

        If a node redirects the command, it has done nothing, and `operation` is called again. Each call must send one
        command on one key: while a slot moves to another node, permission to ask the new node covers one command.

        Raises:
            redis.RedisError: the node does not answer, or no node has the key.
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
        raise redis.exceptions.ClusterError("the nodes redirect a key to each other again and again")

    def ping(self) -> None:
        """Return if any node says that the cluster works. Some nodes may be down.

        Raises:
            redis.RedisError: no node says that the cluster works.
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

    @property
    def clients(self) -> list[redis.Redis]:
        """The clients of all nodes that were asked so far."""
        return list(self._clients.values())

    def close(self) -> None:
        for client in self.clients:
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
        """Read the first map, or wait for another thread that is reading it."""
        granted = allowance.current()
        began = self._clock()
        read = self._reading.acquire(timeout=_LONGEST_WAIT if granted is None else granted.left)
        if granted is not None:
            granted.spend(self._clock() - began)
        if not read:
            raise redis.TimeoutError("the nodes of the cluster are not known yet")
        try:
            if not self._owners:
                self._read_map(None)
        finally:
            self._reading.release()
        if not self._owners:
            raise redis.ConnectionError("no node of the cluster answers")

    def _refresh(self, *, failed: Address | None = None) -> None:
        """Read the map again, unless it was read a moment ago or another thread is reading it."""
        if self._clock() < self._read_again or _exhausted() or not self._reading.acquire(blocking=False):
            return
        try:
            self._read_again = self._clock() + REFRESH_PAUSE
            self._read_map(failed)
        finally:
            self._reading.release()

    def _read_map(self, failed: Address | None) -> None:
        nodes = sorted(self._nodes(), key=lambda address: address == failed)  # failed one last
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
        """Yield each known node once."""
        known = dict.fromkeys(node for node in self._owners if node is not None)
        yield from known
        yield from (seed for seed in self._seeds if seed not in known)

    def _client(self, address: Address) -> redis.Redis:
        client = self._clients.get(address)
        if client is None:
            client = self._clients.setdefault(address, self._connect(address))
        return client


def owners_of_slots(reply: Any, asked: Address) -> list[Address | None]:
    """Return the master of each of the `SLOTS` slots; None for a slot without a master.

    Args:
        reply: the reply to CLUSTER SLOTS: `[first, last, [host, port, id, …], replicas …]` for each range.
        asked: the node that replied. Its host is used where the reply leaves out a host.

    Raises:
        redis.ResponseError: `reply` is not a reply to CLUSTER SLOTS.
    """
    owners: list[Address | None] = [None] * SLOTS
    try:
        for first, last, (host, port, *_), *_replicas in reply:
            address = Address((host or b"").decode() or asked.host, int(port))
            for slot in range(first, last + 1):
                owners[slot] = address
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise redis.ResponseError("this is not a reply to CLUSTER SLOTS") from error
    return owners


def _exhausted() -> bool:
    granted = allowance.current()
    return granted is not None and granted.left <= 0


def _say(client: redis.Redis, *words: str) -> Any:
    return client.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py has no annotation here


def _target(error: AskError, asked: Address) -> Address:
    return Address(error.host or asked.host, int(error.port))
