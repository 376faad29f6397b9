"""What workers write about themselves in the queue's Redis, read by the probes of container platforms."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import redis
from rq.utils import utcparse
from rq.worker_registration import get_keys

STALE = 60.0
"""Seconds. A worker renews its registration every five, whether it waits or runs a job."""


def is_alive(client: redis.Redis, host: str, serves: Callable[[str], bool]) -> bool:
    """Whether a worker on `host` gave a sign within a minute. True if nobody can tell. See `last_sign`."""
    try:
        sign = last_sign(client, host, serves)
    except redis.RedisError:
        return True
    return sign is not None and (datetime.now(UTC) - sign).total_seconds() < STALE


def last_sign(client: redis.Redis, host: str, serves: Callable[[str], bool]) -> datetime | None:
    """When a worker on `host` last renewed its registration, by that host's clock; None if there is none.

    Args:
        serves: whether a queue of this name is one that the worker may have. A worker of any weights counts: only a
            worker that has read its checkpoint knows which weights these are.

    Raises:
        redis.RedisError: the queue is out of reach.
    """
    with client.pipeline(transaction=False) as pipeline:
        for key in get_keys(connection=client):
            pipeline.hmget(key, "hostname", "queues", "last_heartbeat")
        rows = pipeline.execute()
    signs = [
        _time(sign)
        for name, queues, sign in rows
        if sign is not None and queues is not None and name == host.encode() and serves(queues.decode(errors="replace"))
    ]
    return max((sign for sign in signs if sign is not None), default=None)


def _time(sign: bytes) -> datetime | None:
    """The time, or None for what RQ did not write."""
    try:
        return utcparse(sign.decode())
    except (ValueError, OverflowError):
        return None
