"""The API's metrics, with a method for each thing that other code reports.

The children of labelled metrics are looked up once and kept, because a lookup costs more than a count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cache
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from prompt_api.metrics import catalogue
from prompt_api.metrics.processes import Place, keep_values
from shared.observe.metric import Metric


class Tier(StrEnum):
    """Where an embedding was found."""

    MEMORY = "memory"
    REDIS = "redis"
    ABSENT = "absent"


class Taken(StrEnum):
    """What an upload led to."""

    READY = "ready"
    JOINED = "joined"
    QUEUED = "queued"


class LruCounts(Protocol):
    """What an LRU holds now, and how many entries it has evicted since its start."""

    @property
    def bytes(self) -> int: ...

    @property
    def entries(self) -> int: ...

    @property
    def evictions(self) -> int: ...


class ApiMetrics:
    """The metrics of this process; safe for threads.

    Attributes:
        place: where this process and its siblings count together; None if it is alone.
        registry: holds the metrics of this process.
        in_flight: the gauge of requests that hold a thread.
    """

    def __init__(self, place: Place | None = None) -> None:
        keep_values(place)
        self.place = place
        self.registry = CollectorRegistry()
        self._requests = self._counter(catalogue.REQUESTS)
        self._durations = self._histogram(catalogue.REQUEST_SECONDS)
        self._stages = self._histogram(catalogue.STAGE_SECONDS)
        self.in_flight = self._gauge(catalogue.IN_FLIGHT)
        self._prompts = self._counter(catalogue.PROMPTS)
        lookups = self._counter(catalogue.LOOKUPS)
        self._lookups = {tier: lookups.labels(tier) for tier in Tier}
        self._lost = self._counter(catalogue.LOST)
        self._damaged = self._counter(catalogue.DAMAGED)
        uploads = self._counter(catalogue.UPLOADS)
        self._uploads = {outcome: uploads.labels(outcome) for outcome in Taken}
        self._upload_bytes = self._counter(catalogue.UPLOAD_BYTES)
        self._lru_bytes = self._gauge(catalogue.LRU_BYTES)
        self._lru_entries = self._gauge(catalogue.LRU_ENTRIES)
        self._lru_evictions = self._counter(catalogue.LRU_EVICTIONS)
        self._breakers = self._gauge(catalogue.BREAKERS)
        self._answers: Callable[[str, str, int, str], Counter] = cache(
            lambda route, method, status, code: self._requests.labels(route, method, str(status), code)
        )
        self._duration: Callable[[str, str], Histogram] = cache(self._durations.labels)
        self._stage: Callable[[str, str], Histogram] = cache(self._stages.labels)

    def answered(self, route: str, method: str, status: int, code: str) -> None:
        """Count an answered request. `code` is that of the problem document, or empty."""
        self._answers(route, method, status, code).inc()

    def took(self, route: str, method: str, seconds: float) -> None:
        """Record how long a request took."""
        self._duration(route, method).observe(seconds)

    def spent(self, route: str, stages: Mapping[str, float]) -> None:
        """Record how many seconds a request spent in each stage."""
        for name, part in stages.items():
            self._stage(route, name).observe(part)

    def prompted(self, prompts: int) -> None:
        self._prompts.inc(prompts)

    def looked_up(self, tier: Tier) -> None:
        self._lookups[tier].inc()

    def lost(self) -> None:
        """Count an embedding that should have been there and was not. It is encoded again."""
        self._lost.inc()

    def damaged(self) -> None:
        self._damaged.inc()

    def taken(self, outcome: Taken, size: int) -> None:
        """Count an acknowledged upload of `size` bytes."""
        self._uploads[outcome].inc()
        self._upload_bytes.inc(size)

    def lru(self, name: str) -> Callable[[LruCounts], None]:
        """Return the function that an LRU calls after each change, from one thread at a time."""
        held, entries = self._lru_bytes.labels(name), self._lru_entries.labels(name)
        evictions = self._lru_evictions.labels(name)
        counted = 0

        def changed(stats: LruCounts) -> None:
            nonlocal counted
            held.set(stats.bytes)
            entries.set(stats.entries)
            if stats.evictions > counted:
                evictions.inc(stats.evictions - counted)
                counted = stats.evictions

        return changed

    def breaker(self, client: str) -> Callable[[bool], None]:
        """Return the function that a circuit breaker calls when it opens (True) and when it closes (False)."""
        gauge = self._breakers.labels(client)

        def changed(opened: bool) -> None:
            gauge.inc(1 if opened else -1)

        return changed

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.meaning, metric.labels, registry=self.registry, multiprocess_mode="livesum")

    def _histogram(self, metric: Metric) -> Histogram:
        return Histogram(metric.name, metric.meaning, metric.labels, buckets=metric.buckets, registry=self.registry)
