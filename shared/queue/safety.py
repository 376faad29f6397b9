"""Whether the queue's Redis keeps what it was given: one that evicts loses acknowledged uploads without a word."""

from __future__ import annotations

import redis

from shared.contract.errors import ConfigurationError
from shared.redis.failures import translated_errors


def require_no_eviction(client: redis.Redis) -> str:
    """Ask the queue's Redis how it is configured.

    Only `noeviction` is safe: the volatile policies evict jobs as well, which have a time to live. Without a
    `maxmemory` nothing is evicted yet, whatever the policy: worth a warning, no reason to refuse.

    Returns:
        What an operator should know, or nothing.

    Raises:
        ConfigurationError: it may evict jobs.
        StoreUnavailable: it does not answer.
    """
    with translated_errors():
        try:
            memory = client.info("memory")
        except redis.ResponseError:  # forbidden to this user
            memory = {}
    assert isinstance(memory, dict)
    policy, most = memory.get("maxmemory_policy"), memory.get("maxmemory")
    if policy is None or most is None:
        return "the queue's Redis does not tell its maxmemory-policy: make sure that it is noeviction"
    if policy == "noeviction":
        return ""
    if most == 0:
        return f"the queue's Redis has maxmemory-policy {policy}: set noeviction before you give it a maxmemory"
    raise ConfigurationError(
        f"the queue's Redis may evict jobs (maxmemory-policy {policy}, maxmemory {most} bytes), which would lose "
        "uploads: set its maxmemory-policy to noeviction, or give the queue an instance of its own with SAM_QUEUE_URL"
    )
