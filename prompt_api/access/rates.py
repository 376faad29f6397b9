"""Rate limits: how much one client may ask for, counted over all API processes in Redis.

The library `limits` counts: a sliding window of two counters per client, on Redis's clock. Each counted request takes
one more round trip. While Redis does not answer, each process counts for itself: a limit must not make an outage worse.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping
from threading import Lock

import redis
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from prompt_api.access.scopes import Quota
from shared.contract.errors import ConfigurationError, RateLimited
from shared.contract.settings import Settings

PREFIX = "sam:rate"

OUTAGE_PAUSE = 5.0
"""Seconds after a failure of Redis before it is asked again. Until then, each process counts for itself."""

_RATE = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)")

_log = logging.getLogger(__name__)


def parse_rate(variable: str, text: str) -> RateLimitItem | None:
    """Return the rate that a setting names, or None if it is empty.

    Raises:
        ConfigurationError: the setting is not a rate.
    """
    if not text:
        return None
    if not _RATE.fullmatch(text):
        raise ConfigurationError(f"{variable}={text!r} is not a rate; say for example 50/second, 60/minute, 1000/hour")
    return parse(text)


def parse_rates(settings: Settings) -> dict[Quota, RateLimitItem]:
    """Return the rate of each limited quota.

    Raises:
        ConfigurationError: a setting is not a rate.
    """
    rates = {
        Quota.PROMPTS: parse_rate("SAM_RATE_LIMIT_PROMPTS", settings.rate_limit_prompts),
        Quota.UPLOADS: parse_rate("SAM_RATE_LIMIT_UPLOADS", settings.rate_limit_uploads),
    }
    return {quota: rate for quota, rate in rates.items() if rate is not None}


class RateLimits:
    """The rate limits of all clients; safe for threads."""

    def __init__(
        self,
        rates: Mapping[Quota, RateLimitItem],
        client: redis.Redis | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        rates: the limited quotas; the others are not limited.
        client: a Redis client with short time-outs. If it is None, this process counts for itself.
        """
        self._rates = dict(rates)
        self._clock = clock
        self._shared = (
            None
            if client is None or not rates
            else SlidingWindowCounterRateLimiter(
                RedisStorage("redis://", connection_pool=client.connection_pool, key_prefix=PREFIX)
            )
        )
        self._lock = Lock()
        self._alone: SlidingWindowCounterRateLimiter | None = None
        self._ask_again = 0.0

    def spend(self, quota: Quota, client: str, cost: int = 1) -> None:
        """Count `cost` against the client's share.

        Args:
            client: the name that tells clients apart.
            cost: a cost above the whole share counts as the whole share; otherwise the request could never pass.

        Raises:
            RateLimited: the share is used up. Nothing was counted; `retry_after` says when `cost` is free again if the
                client sends nothing else.
        """
        rate = self._rates.get(quota)
        if rate is None or cost <= 0:
            return
        limiter = self._limiter()
        try:
            pause = _hit(limiter, rate, quota, client, cost)
        except Exception as error:  # `limits` raises anything for a reply or a count of the wrong type
            self._ask_again = self._clock() + OUTAGE_PAUSE
            _log.warning("each process now counts rate limits for itself: %s: %s", type(error).__name__, error)
            pause = _hit(self._limiter(), rate, quota, client, cost)
        if pause is not None:
            limit = f"{rate.amount}/{rate.GRANULARITY.name}"
            raise RateLimited(f"more than {limit} {quota} from this client", retry_after=pause, limit=limit)

    def _limiter(self) -> SlidingWindowCounterRateLimiter:
        if self._shared is not None and self._clock() >= self._ask_again:
            return self._shared
        with self._lock:
            if self._alone is None:
                self._alone = SlidingWindowCounterRateLimiter(MemoryStorage())
            return self._alone


def _hit(
    limiter: SlidingWindowCounterRateLimiter, rate: RateLimitItem, quota: Quota, client: str, cost: int
) -> float | None:
    """Return None if the cost was counted, otherwise the seconds until there is room for it."""
    cost = min(cost, rate.amount)
    if limiter.hit(rate, quota, client, cost=cost):
        return None
    first = limiter.get_window_stats(rate, quota, client).reset_time - time.time()
    return max(0.0, first) + (cost - 1) * rate.get_expiry() / rate.amount
