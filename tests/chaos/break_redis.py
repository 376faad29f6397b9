"""Faults of Redis: stopped, killed, filled, read-only, damaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shared.contract.keys import EmbeddingKey
from shared.contract.models import find_model
from tests.chaos.scenery import Break, Scenery


def freeze(*roles: str, times: float = 1.0) -> Break:
    """Send SIGSTOP to the servers of the roles, and SIGCONT after `times` the duration of other faults."""

    @contextmanager
    def inject(scenery: Scenery) -> Iterator[None]:
        servers = [scenery.stack.server(role) for role in roles]
        for server in servers:
            server.freeze()
        try:
            scenery.stay(times)
        finally:
            for server in servers:
                server.thaw()
        yield

    return inject


def kill(role: str, *, empty: bool) -> Break:
    """Send SIGKILL, then restart the server with its files or empty."""

    @contextmanager
    def inject(scenery: Scenery) -> Iterator[None]:
        server = scenery.stack.server(role)
        server.kill()
        try:
            scenery.stay()
        finally:
            server.restart(empty=empty)
        yield

    return inject


@contextmanager
def fill_cache(scenery: Scenery) -> Iterator[None]:
    cache = scenery.stack.cache
    cache.set_policy("noeviction")
    try:
        cache.fill()
        scenery.stay()
    finally:
        cache.drain()
        cache.set_policy("allkeys-lfu")
    yield


@contextmanager
def evict(scenery: Scenery) -> Iterator[None]:
    scenery.stack.cache.fill(1.5)
    try:
        yield
    finally:
        scenery.stack.cache.drain()


@contextmanager
def fill_queue(scenery: Scenery) -> Iterator[None]:
    try:
        scenery.stack.queue.fill()
        scenery.stay()
    finally:
        scenery.stack.queue.drain()
    yield


@contextmanager
def fill_disk(scenery: Scenery) -> Iterator[None]:
    scenery.stack.queue.fill_disk()
    try:
        scenery.stay()
    finally:
        scenery.stack.queue.free_disk()
    yield


@contextmanager
def read_only(scenery: Scenery) -> Iterator[None]:
    """Make the servers read-only, like an old master after a failover that clients are still connected to."""
    servers = [scenery.stack.cache, scenery.stack.queue]
    for server in servers:
        server.client.replicaof("127.0.0.1", "1")
    try:
        scenery.stay()
    finally:
        for server in servers:
            server.client.replicaof("NO", "ONE")
    yield


@contextmanager
def damage(scenery: Scenery) -> Iterator[None]:
    """Damage one byte in each stored embedding. Then request each one: that route does not use the API's memory."""
    client, damaged = scenery.stack.cache.client, 0
    for kept in scenery.kept:
        key = EmbeddingKey.of(kept.image_id, find_model(scenery.model)).redis_key
        length = client.strlen(key)
        assert isinstance(length, int)
        if not length:
            continue
        where = scenery.dice.randrange(length)
        byte = client.getrange(key, where, where)
        assert isinstance(byte, bytes)
        client.setrange(key, where, bytes([byte[0] ^ 1 << scenery.dice.randrange(8)]))
        damaged += 1
        answer = scenery.client.checked_embedding(scenery.material, kept.scene, kept.image_id)
        if answer.status == 200:
            scenery.injected.broken.append(f"a damaged embedding of image {kept.image_id[:12]} was handed out")
    scenery.injected.note = f"{damaged} embeddings"
    yield
