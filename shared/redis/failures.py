"""Translates failures of Redis into an error of this project."""

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
        # The message of Redis may name hosts: it goes to the log, and clients get a general sentence.
        _log.warning("Redis: %s: %s", type(error).__name__, error)
        raise StoreUnavailable("Redis cannot be reached, or refuses to work", retry_after=1) from error
