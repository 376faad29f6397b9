"""Translates failures of Redis into an error of this project."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from shared.contract.errors import SamCacheError, StoreUnavailable
from shared.redis.cluster import Cluster
from shared.redis.replies import UnexpectedReply

_log = logging.getLogger(__name__)


@contextmanager
def translated_errors(client: redis.Redis | Cluster) -> Iterator[None]:
    """Turn any failure of Redis inside the block into `StoreUnavailable`.

    A reply of the wrong type is such a failure, whatever error it causes. It may belong to another command. So the
    connections of `client` that are not in use are closed, which include the one that brought it.
    """
    try:
        yield
    except SamCacheError:
        raise
    except redis.RedisError as error:
        # The message of Redis may name hosts: it goes to the log, and clients get a general sentence.
        _log.warning("Redis: %s: %s", type(error).__name__, error)
        if isinstance(error, UnexpectedReply):
            close_idle(client)
        raise StoreUnavailable("Redis cannot be reached, or refuses to work", retry_after=1) from error
    except MemoryError:
        close_idle(client)  # the rest of a reply may be left on the connection
        raise
    except Exception as error:  # whatever redis-py, RQ or the block does with a reply of the wrong type
        _log.exception("Redis: the reply has the wrong type")
        close_idle(client)
        raise StoreUnavailable("Redis gave an answer that makes no sense", retry_after=1) from error


def close_idle(client: redis.Redis | Cluster) -> None:
    """Close the connections of `client` that are not in use."""
    for one in client.clients if isinstance(client, Cluster) else [client]:
        one.connection_pool.disconnect(inuse_connections=False)
