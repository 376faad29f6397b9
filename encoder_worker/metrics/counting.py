"""The counts of this worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from encoder_worker.metrics import catalogue
from encoder_worker.metrics.gpu_memory import gpu_memory
from shared.contract.errors import EncodeFailed
from shared.contract.version import installed_version
from shared.host.process_memory import resident_bytes
from shared.observe.metric import Metric
from shared.observe.metrics_server import Application


class WorkerMetrics:
    """The counts of this process, which is the whole worker: its jobs run inside it. Safe for threads.

    Attributes:
        registry: holds all of them.
    """

    def __init__(self, model: str = "") -> None:
        """Args:
        model: the name of the model that this worker runs.
        """
        # An environment variable may tell prometheus_client to share counts between processes. Here it must not.
        values.ValueClass = values.MutexValue
        self.registry = CollectorRegistry()
        self._jobs = self._counter(catalogue.JOBS)
        self._recovered = self._counter(catalogue.RECOVERED)
        self._damaged = self._counter(catalogue.DAMAGED)
        # Shown as 0 from the start: Prometheus cannot see a rise to 1 out of nothing, and alerts wait for it.
        self._jobs.labels("failed", EncodeFailed.code)
        for outcome in ("retried", "failed"):
            self._recovered.labels(outcome)
        self._queue_seconds = self._histogram(catalogue.QUEUE_SECONDS)
        stages = self._histogram(catalogue.STAGE_SECONDS)
        self._stages = {stage: stages.labels(stage) for stage in catalogue.STAGES}
        self._batch_images = self._histogram(catalogue.BATCH_IMAGES)
        self._batch_seconds = self._histogram(catalogue.BATCH_SECONDS)
        pictures = self._counter(catalogue.REGION_PICTURES)
        self._region_pictures = {outcome: pictures.labels(outcome) for outcome in ("kept", "decoded")}
        self._picture_bytes = self._gauge(catalogue.PICTURE_BYTES)
        deaths = self._counter(catalogue.DECODER_DEATHS)
        self._decoder_deaths = {cause: deaths.labels(cause) for cause in ("killed", "crashed", "too_slow")}
        self._model_load = self._gauge(catalogue.MODEL_LOAD)
        self._gauge(catalogue.BUILD).labels(installed_version(), model).set(1)
        self._looked_up = _LookedUp()
        self.registry.register(self._looked_up)

    @property
    def application(self) -> Application:
        """Answers a scrape."""
        application: Application = make_wsgi_app(self.registry)
        return application

    def loaded(self, seconds: float) -> None:
        """The model is ready."""
        self._model_load.set(seconds)

    def waited(self, seconds: float) -> None:
        """A job starts after that long in the queue."""
        self._queue_seconds.observe(max(0.0, seconds))  # clocks differ between hosts

    def ended(self, outcome: str, code: str = "") -> None:
        """An attempt at a job ended; see `catalogue.JOBS` for the words."""
        self._jobs.labels(outcome, code).inc()

    def recovered(self, outcome: str) -> None:
        """A dead worker's job was found; see `catalogue.RECOVERED` for the words."""
        self._recovered.labels(outcome).inc()

    def damaged(self) -> None:
        """A job could not be read and was set aside."""
        self._damaged.inc()

    def batched(self, images: int, seconds: float) -> None:
        """The encoder ran once."""
        self._batch_images.observe(images)
        self._batch_seconds.observe(seconds)

    def picture_for_region(self, outcome: Literal["kept", "decoded"]) -> None:
        """A region has its picture; see `catalogue.REGION_PICTURES` for the words."""
        self._region_pictures[outcome].inc()

    def pictures_kept(self, size: int) -> None:
        """Decoded pictures take this many bytes now."""
        self._picture_bytes.set(size)

    def decoders_are(self, pids: Callable[[], Iterable[int]]) -> None:
        """The processes that decode are from now on those that `pids` returns at each scrape."""
        self._looked_up.decoders = pids

    def decoder_died(self, cause: Literal["killed", "crashed", "too_slow"]) -> None:
        """A process that decodes had to be replaced; see `catalogue.DECODER_DEATHS` for the words."""
        self._decoder_deaths[cause].inc()

    def encoded(self, stages: Mapping[str, float]) -> None:
        """An embedding was stored; seconds by stage."""
        for stage, seconds in stages.items():
            self._stages[stage].observe(seconds)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def _gauge(self, metric: Metric) -> Gauge:
        return Gauge(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def _histogram(self, metric: Metric) -> Histogram:
        return Histogram(metric.name, metric.meaning, metric.labels, buckets=metric.buckets, registry=self.registry)


class _LookedUp(Collector):
    """What is looked up at each scrape.

    Attributes:
        decoders: returns the ids of the processes that decode.
    """

    def __init__(self) -> None:
        self.decoders: Callable[[], Iterable[int]] = tuple

    def collect(self) -> Iterable[GaugeMetricFamily]:
        gpu = catalogue.GPU_MEMORY
        family = GaugeMetricFamily(gpu.name, gpu.meaning, labels=gpu.labels)
        for kind, size in gpu_memory().items():
            family.add_metric([kind], size)
        yield family
        resident = resident_bytes(os.getpid())
        if resident is not None:
            yield _gauge_of(catalogue.RESIDENT, resident)
        pids = list(self.decoders())
        yield _gauge_of(catalogue.DECODERS, len(pids))
        if resident is not None:
            yield _gauge_of(catalogue.DECODER_MEMORY, sum(resident_bytes(pid) or 0 for pid in pids))


def _gauge_of(metric: Metric, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.meaning, value=value)
