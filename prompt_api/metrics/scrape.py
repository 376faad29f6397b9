"""What Prometheus gets: the counts of all processes, and values that are looked up during the scrape."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from prompt_api.metrics import catalogue
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.metrics.queue_load import QueueLoad
from shared.contract.errors import SamCacheError, StoreUnavailable
from shared.contract.models import Model
from shared.contract.version import installed_version
from shared.host.process_memory import resident_bytes
from shared.observe.metric import Metric
from shared.redis import allowance


@dataclass(frozen=True, slots=True)
class Scrape:
    """Answers a scrape.

    Attributes:
        metrics: the metrics of this process.
        models: the served models, the default first.
        checks: one function per dependency, by its name. It raises `SamCacheError` if the dependency does not work.
        queue_load: returns the load of a model's queue, or raises `StoreUnavailable`. None if there is no such
            function.
        everything_load: the same for its everything jobs.
    """

    metrics: ApiMetrics
    models: tuple[Model, ...]
    checks: Mapping[str, Callable[[], None]]
    queue_load: Callable[[Model], QueueLoad] | None
    everything_load: Callable[[Model], QueueLoad] | None = None

    def answer(self, accept: str) -> tuple[bytes, str]:
        """Return the body and its media type: OpenMetrics or Prometheus's own text, as the `Accept` header asks.

        Values that Redis does not return in time are left out.
        """
        encode, media_type = choose_encoder(accept)
        place = self.metrics.place
        registry = CollectorRegistry()
        if place is None:
            registry.register(_Of(self.metrics.registry.collect))
        else:
            place.collect_into(registry)
        registry.register(_Of(self._looked_up))
        return encode(registry), media_type

    def _looked_up(self) -> Iterator[GaugeMetricFamily]:
        yield _gauge(catalogue.BUILD, {(installed_version(), self.models[0].name): 1})
        pids = [os.getpid()] if self.metrics.place is None else self.metrics.place.pids()
        sizes = [size for size in map(resident_bytes, pids) if size is not None]
        yield _gauge(catalogue.PROCESSES, {(): len(sizes) or len(pids)})
        if sizes:
            yield _gauge(catalogue.RESIDENT, {(): sum(sizes)})
        yield _gauge(catalogue.UP, {(name,): float(_passes(check)) for name, check in self.checks.items()})
        yield from self._queues()

    def _queues(self) -> Iterator[GaugeMetricFamily]:
        for load_of, (waiting, oldest, running, workers) in (
            (self.queue_load, catalogue.ENCODE_QUEUE),
            (self.everything_load, catalogue.EVERYTHING_QUEUE),
        ):
            if load_of is None:
                continue
            allowance.renew()
            try:
                loads = {(model.name,): load_of(model) for model in self.models}
            except StoreUnavailable:
                return
            yield _gauge(waiting, {model: load.waiting for model, load in loads.items()})
            yield _gauge(oldest, {model: load.oldest for model, load in loads.items()})
            yield _gauge(running, {model: load.running for model, load in loads.items()})
            yield _gauge(workers, {model: load.workers for model, load in loads.items()})


class _Of(Collector):
    """A collector of the metrics that a function returns."""

    def __init__(self, collect: Callable[[], Iterable[Family]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Family]:
        return self._collect()


def _gauge(metric: Metric, samples: Mapping[tuple[str, ...], float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    for labels, value in samples.items():
        family.add_metric(labels, value)
    return family


def _passes(check: Callable[[], None]) -> bool:
    allowance.renew()  # a check that hangs must not use up the time of the next one
    try:
        check()
    except SamCacheError:
        return False
    return True
