"""Failures of Redis as an error of this project."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from shared.contract.errors import StoreUnavailable

_log = logging.getLogger(__name__)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn any failure of Redis inside the block into `StoreUnavailable`."""
    try:
        yield
    except redis.RedisError as error:
        # What Redis says may name hosts: it is for the log, the sentence for clients.
        _log.warning("Redis: %s: %s", type(error).__name__, error)
        raise StoreUnavailable("Redis is out of reach, or refuses to work", retry_after=1) from error
