"""What workers write about themselves in the queue's Redis, read by the probe `encoder_worker.alive`."""

from __future__ import annotations

from datetime import datetime

import redis
from rq.utils import utcparse
from rq.worker_registration import get_keys

from shared.contract.keys import is_queue_of


def last_sign(client: redis.Redis, model: str, host: str) -> datetime | None:
    """When a worker of `model` on `host` last renewed its registration, by that host's clock; None if there is none.

    It takes workers of any weights: only a worker that has read its checkpoint knows which weights these are.

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
        if sign is not None
        and queues is not None
        and name == host.encode()
        and is_queue_of(model, queues.decode(errors="replace"))
    ]
    return max((sign for sign in signs if sign is not None), default=None)


def _time(sign: bytes) -> datetime | None:
    """The time, or None for what RQ did not write."""
    try:
        return utcparse(sign.decode())
    except (ValueError, OverflowError):
        return None
