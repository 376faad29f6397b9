"""Redis clients, one per role and purpose. No other module of the project opens a connection."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from shared.contract.errors import ConfigurationError
from shared.redis.breaker import Changed, CircuitBreaker, unheard
from shared.redis.cluster import Cluster
from shared.redis.guarded import connection_class
from shared.redis.replies import checked_class
from shared.redis.sentinel import master_client
from shared.redis.url import Address, BehindSentinels, ClusterNodes, OneServer, parse_redis_url

SENTINEL_TIMEOUT = 0.25
"""Seconds that one sentinel may take. If one hangs, a request still has time to ask the next and reach the master."""

_WORKER_CONNECT_TIMEOUT = 5.0


def request_client(url: str, timeout: float, *, breaker_changed: Changed = unheard) -> redis.Redis:
    """Create a client for request paths: each read and write ends within `timeout` seconds and is never retried.

    In a thread that has an allowance (see `shared.redis.allowance`), every operation ends within that allowance. While
    the server is known to hang, operations there fail at once.

    redis-py 8 retries ten times by default. That blocks a request for a minute if the server is stopped, and makes a
    repeated `SET NX` report failure for a lock that it holds.

    Args:
        breaker_changed: called with True when the server is found to hang, and with False when it answers again.

    Raises:
        ConfigurationError: `url` is not a Redis URL, or is the URL of a cluster.
    """
    options: dict[str, Any] = {"breaker": CircuitBreaker(changed=breaker_changed), **_bounds(timeout, timeout)}
    location = parse_redis_url(url)
    if isinstance(location, OneServer):
        return _one_server(location, connection_class=connection_class(url), **options)
    return _master(location, min(timeout, SENTINEL_TIMEOUT), guarded=True, **options)


def worker_client(url: str) -> redis.Redis:
    """Create a client for an RQ worker. Never share it: the worker blocks on its queue and sets the read time-out.

    Raises:
        ConfigurationError: `url` is not a Redis URL, or is the URL of a cluster.
    """
    options = _bounds(None, _WORKER_CONNECT_TIMEOUT)
    location = parse_redis_url(url)
    if isinstance(location, OneServer):
        return _one_server(location, connection_class=checked_class(url), **options)
    return _master(location, SENTINEL_TIMEOUT, guarded=False, **options)


def cache_client(url: str, timeout: float, *, breaker_changed: Changed = unheard) -> redis.Redis | Cluster:
    """Create a client for the cache, as `request_client` does. A cluster gets one such client for each node.

    Raises:
        ConfigurationError: `url` is not a Redis URL.
    """
    location = parse_redis_url(url)
    if not isinstance(location, ClusterNodes):
        return request_client(url, timeout, breaker_changed=breaker_changed)

    def connect(node: Address) -> redis.Redis:
        return _node(
            node,
            timeout,
            tls=location.tls,
            username=location.username,
            password=location.password,
            breaker_changed=breaker_changed,
        )

    return Cluster(location.nodes, connect, retire=_retire)


def _bounds(timeout: float | None, connect_timeout: float) -> dict[str, Any]:
    """Return the options of every connection.

    Before redis-py uses a connection again, it looks for a reply that nobody asked for, and if there is one opens a new
    connection. It does not look while maintenance notifications are on, as they are by default. Only Redis's paid
    editions send them.
    """
    return {
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "decode_responses": False,
        "socket_timeout": timeout,
        "socket_connect_timeout": connect_timeout,
        "health_check_interval": 30,
        "retry": Retry(NoBackoff(), 0),
    }


def _one_server(location: OneServer, **options: Any) -> redis.Redis:
    over_tcp = {} if location.url.startswith("unix:") else {"socket_keepalive": True}
    try:
        client = redis.Redis.from_url(location.url, **over_tcp, **options)
    except ValueError:  # the URL and redis-py's message are not shown: they may hold the password
        raise ConfigurationError(
            "SAM_CACHE_URL or SAM_QUEUE_URL is not a Redis URL: redis://[user:password@]host:port/db, rediss://, "
            "unix://, redis+sentinel:// or redis+cluster://"
        ) from None
    assert isinstance(client, redis.Redis)
    return client


def _master(
    location: BehindSentinels | ClusterNodes, sentinel_timeout: float, *, guarded: bool, **options: Any
) -> redis.Redis:
    if isinstance(location, ClusterNodes):
        raise ConfigurationError(
            "a Redis Cluster can be the cache, not the queue: RQ, which keeps the queue, uses several keys in one "
            "script, and they lie on different nodes. Set SAM_QUEUE_URL to one server, or to one behind sentinels"
        )
    sentinels = [
        _node(
            address,
            sentinel_timeout,
            tls=location.tls,
            username=location.sentinel_username,
            password=location.sentinel_password,
        )
        for address in location.sentinels
    ]
    return master_client(
        location.service,
        sentinels,
        tls=location.tls,
        guarded=guarded,
        db=location.db,
        username=location.username,
        password=location.password,
        socket_keepalive=True,
        **options,
    )


def _node(
    address: Address,
    timeout: float,
    *,
    tls: bool,
    username: str | None,
    password: str | None,
    breaker_changed: Changed = unheard,
) -> redis.Redis:
    """Create a client for request paths to one of several servers, with its own circuit breaker."""
    return redis.Redis.from_pool(
        redis.ConnectionPool(
            connection_class=connection_class("rediss:" if tls else "redis:"),
            breaker=CircuitBreaker(changed=breaker_changed),
            host=address.host,
            port=address.port,
            username=username,
            password=password,
            socket_keepalive=True,
            **_bounds(timeout, timeout),
        )
    )


def _retire(node: redis.Redis) -> None:
    """Disconnect a node that left its cluster. Requests that are running keep their connections.

    The breaker is closed here, because no later answer of the node will close it.
    """
    pool = node.connection_pool
    pool.connection_kwargs["breaker"].close()
    pool.disconnect(inuse_connections=False)
