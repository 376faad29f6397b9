"""`python -m encoder_worker.alive`: whether a worker of this host still works, for the probes of a container platform.

Exit status 0: one renewed its registration in the queue within a minute, or the queue is out of reach, which a worker
deals with itself. 1: none did: it has not started yet, or it hangs outside the encodings, whose hanging it ends itself.
"""

from __future__ import annotations

import socket
import sys
from datetime import datetime

import redis
from rq import Queue
from rq.serializers import JSONSerializer
from rq.utils import now, utcparse
from rq.worker_registration import get_keys

from shared.contract.errors import StartupError
from shared.contract.keys import queue_name
from shared.contract.settings import Settings
from shared.redis.connections import request_client

_STALE = 60.0
"""Seconds. A worker renews its registration every five, whether it waits or encodes."""

_TIMEOUT = 2.0


def last_sign(client: redis.Redis, queue: str, host: str) -> datetime | None:
    """When a worker of `queue` on `host` last renewed its registration, by that host's clock; None if there is none.

    Raises:
        redis.RedisError: the queue is out of reach.
    """
    signs = []
    for key in get_keys(Queue(queue, connection=client, serializer=JSONSerializer)):
        name, sign = client.hmget(key, ["hostname", "last_heartbeat"])
        if name == host.encode() and isinstance(sign, bytes):
            signs.append(utcparse(sign.decode()))
    return max(signs, default=None)


def is_alive(client: redis.Redis, queue: str, host: str) -> bool:
    """Whether a worker of `queue` on `host` gave a sign within a minute. True if nobody can tell."""
    try:
        sign = last_sign(client, queue, host)
    except redis.RedisError:
        return True
    return sign is not None and (now() - sign).total_seconds() < _STALE


def main() -> int:
    try:
        settings = Settings.from_env()
        client = request_client(settings.effective_queue_url, _TIMEOUT)
    except StartupError as error:
        sys.stderr.write(f"encoder_worker.alive: {error.detail}\n")
        return 1
    return 0 if is_alive(client, queue_name(settings.model), socket.gethostname()) else 1


if __name__ == "__main__":
    sys.exit(main())
