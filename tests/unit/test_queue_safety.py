"""Which Redis configurations may hold the queue."""

from __future__ import annotations

from typing import Any

import fakeredis
import pytest
import redis

from shared.contract.errors import ConfigurationError, StoreUnavailable
from shared.queue.safety import require_no_eviction


class Told(fakeredis.FakeRedis):
    """A Redis that gives this answer about its memory."""

    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        super().__init__()
        self._answer = answer

    def info(self, *_: object, **__: object) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def test_a_redis_that_does_not_evict_is_safe() -> None:
    assert require_no_eviction(Told({"maxmemory_policy": "noeviction", "maxmemory": 1 << 30})) == ""


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random", "volatile-lru", "volatile-ttl"])
def test_a_redis_that_may_evict_is_refused_with_the_remedy(policy: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        require_no_eviction(Told({"maxmemory_policy": policy, "maxmemory": 1 << 30}))
    for word in (policy, "noeviction", "SAM_QUEUE_URL"):
        assert word in refusal.value.detail


def test_a_redis_that_would_evict_if_it_had_a_limit_gets_a_warning() -> None:
    assert "allkeys-lru" in require_no_eviction(Told({"maxmemory_policy": "allkeys-lru", "maxmemory": 0}))


@pytest.mark.parametrize("answer", [{}, {"used_memory": 1}, redis.ResponseError("NOPERM")])
def test_a_redis_that_does_not_tell_its_policy_gets_a_warning(answer: dict[str, Any] | Exception) -> None:
    assert "noeviction" in require_no_eviction(Told(answer))


def test_an_unreachable_redis_is_not_a_configuration_error() -> None:
    with pytest.raises(StoreUnavailable):
        require_no_eviction(Told(redis.ConnectionError("refused")))
