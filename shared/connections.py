"""Redis clients, one per role and purpose. Nothing else in the project opens a connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.breaker import CircuitBreaker
from shared.errors import ConfigurationError
from shared.guarded import connection_class


def request_client(
    url: str, timeout: float, *, breaker_changed: Callable[[bool], None] = lambda _: None
) -> redis.Redis:
    """A client for request paths: each read and write ends within `timeout` seconds and is never retried.

    In a thread that has an allowance (see `shared.allowance`) all that it does ends within that, and at once while
    the server is known to hang.

    redis-py 8 retries ten times by default, which blocks a request for a minute on a stopped server and
    makes a repeated `SET NX` report failure for a lock it holds.

    Args:
        breaker_changed: told True when the server is found to hang, False when it answers again.

    Raises:
        ConfigurationError: `url` is not a Redis URL.
    """
    return _client(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        connection_class=connection_class(url),
        breaker=CircuitBreaker(changed=breaker_changed),
    )


def worker_client(url: str) -> redis.Redis:
    """A client for an RQ worker, which blocks on its queue and sets the read time-out itself: never share it.

    Raises:
        ConfigurationError: `url` is not a Redis URL.
    """
    return _client(url, socket_timeout=None, socket_connect_timeout=5.0)


def _client(url: str, *, socket_timeout: float | None, socket_connect_timeout: float, **options: Any) -> redis.Redis:
    over_tcp = {} if url.startswith("unix:") else {"socket_keepalive": True}
    try:
        client = redis.Redis.from_url(
            url,
            decode_responses=False,
            socket_timeout=socket_timeout,
            socket_connect_timeout=socket_connect_timeout,
            health_check_interval=30,
            retry=Retry(NoBackoff(), 0),
            **over_tcp,
            **options,
        )
    except ValueError:  # neither the URL nor redis-py's message is shown: they may hold the password
        raise ConfigurationError(
            "SAM_CACHE_URL or SAM_QUEUE_URL is no Redis URL: redis://[user:password@]host:port/db, rediss:// or unix://"
        ) from None
    assert isinstance(client, redis.Redis)
    return client
