"""Checks that the queue's Redis does not evict. A Redis that evicts loses acknowledged uploads silently."""

from __future__ import annotations

import redis

from shared.contract.errors import ConfigurationError
from shared.redis.failures import translated_errors
from shared.redis.replies import UnexpectedReply


def require_no_eviction(client: redis.Redis) -> str:
    """Check the eviction policy of the queue's Redis.

    Only `noeviction` is safe: the volatile policies also evict jobs, because jobs have a time to live. Without a
    `maxmemory` no policy evicts anything yet, so an unsafe policy is then only worth a warning.

    Returns:
        A warning for the operator, or an empty string.

    Raises:
        ConfigurationError: Redis may evict jobs.
        StoreUnavailable: Redis does not answer.
    """
    with translated_errors(client):
        try:
            memory = client.info("memory")
        except redis.ResponseError:  # this user may not run INFO
            memory = {}
        if not isinstance(memory, dict):
            raise UnexpectedReply("INFO is a table")
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
