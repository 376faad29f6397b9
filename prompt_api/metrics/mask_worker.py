"""Every metric of a mask worker, and how it counts. docs/observability.md shows them.

`python -m prompt_api.metrics.mask_worker` prints the table of that document.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.contract.errors import EverythingFailed
from shared.contract.version import installed_version
from shared.host.process_memory import resident_bytes
from shared.observe.metric import Metric, MetricKind, metrics_table
from shared.observe.metrics_server import Application

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 1800.0)

STAGES = {
    "wait": "the embedding of the whole image is not there yet",
    "search": "points are decoded, and their masks filtered",
    "store": "the masks are packed and go to Redis",
}
"""Every stage of an everything job, in order. The wait for crops is left out."""

JOBS = Metric(
    name="sam_masker_jobs_total",
    kind=MetricKind.COUNTER,
    labels=("outcome", "code"),
    meaning="Attempts at everything jobs that ended: `done`, `failed` for good, `retried` (back in the queue), "
    "`forgotten` (stopped, or the image was deleted); `code` is the code of the error, empty without an error",
)
RECOVERED = Metric(
    name="sam_masker_recovered_jobs_total",
    kind=MetricKind.COUNTER,
    labels=("outcome",),
    meaning="Everything jobs of dead mask workers that this one found: `retried`, or `failed` because no retries were "
    "left",
)
DAMAGED = Metric(
    name="sam_masker_damaged_jobs_total",
    kind=MetricKind.COUNTER,
    meaning="Jobs that this mask worker could not read and set aside under `sam:damaged-job:…` in the queue's Redis",
)
QUEUE_SECONDS = Metric(
    name="sam_masker_queue_seconds",
    kind=MetricKind.HISTOGRAM,
    buckets=_SECONDS,
    meaning="Time from the queueing of an everything job to its first start, by the clocks of API and mask worker",
)
STAGE_SECONDS = Metric(
    name="sam_masker_stage_seconds",
    kind=MetricKind.HISTOGRAM,
    labels=("stage",),
    buckets=_SECONDS,
    meaning="What everything jobs spend their time on",
)
POINTS = Metric(
    name="sam_masker_points_total",
    kind=MetricKind.COUNTER,
    meaning="Points of everything jobs that were decoded, or found to need no decoding",
)
MASKS = Metric(
    name="sam_masker_masks_total",
    kind=MetricKind.COUNTER,
    meaning="Masks of everything jobs that were stored",
)
RESIDENT = Metric(
    name="sam_masker_resident_memory_bytes",
    kind=MetricKind.GAUGE,
    meaning="Resident memory of the mask worker; on Linux only",
)
BUILD = Metric(
    name="sam_masker_build_info",
    kind=MetricKind.GAUGE,
    labels=("version", "model"),
    meaning="Always 1. The labels are the version and the model of the mask worker",
)

METRICS = (JOBS, RECOVERED, DAMAGED, QUEUE_SECONDS, STAGE_SECONDS, POINTS, MASKS, RESIDENT, BUILD)


class MaskWorkerMetrics:
    """The counts of this process, which is the whole mask worker: its jobs run inside it. Safe for threads.

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
        self._jobs = self._counter(JOBS)
        self._recovered = self._counter(RECOVERED)
        self._damaged = self._counter(DAMAGED)
        # Shown as 0 from the start: Prometheus cannot see a rise to 1 out of nothing, and alerts wait for it.
        self._jobs.labels("failed", EverythingFailed.code)
        for outcome in ("retried", "failed"):
            self._recovered.labels(outcome)
        self._queue_seconds = self._histogram(QUEUE_SECONDS)
        stages = self._histogram(STAGE_SECONDS)
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        self._points = self._counter(POINTS)
        self._masks = self._counter(MASKS)
        Gauge(BUILD.name, BUILD.meaning, BUILD.labels, registry=self.registry).labels(installed_version(), model).set(1)
        self.registry.register(_Memory())

    @property
    def application(self) -> Application:
        """Answers a scrape."""
        application: Application = make_wsgi_app(self.registry)
        return application

    def waited(self, seconds: float) -> None:
        """A job starts after that long in the queue."""
        self._queue_seconds.observe(max(0.0, seconds))  # clocks differ between hosts

    def ended(self, outcome: str, code: str = "") -> None:
        """An attempt at a job ended; see `JOBS` for the words."""
        self._jobs.labels(outcome, code).inc()

    def recovered(self, outcome: str) -> None:
        """A dead worker's job was found; see `RECOVERED` for the words."""
        self._recovered.labels(outcome).inc()

    def damaged(self) -> None:
        """A job could not be read and was set aside."""
        self._damaged.inc()

    def spent(self, stage: str, seconds: float) -> None:
        """A stage of a job ended; see `STAGES` for the names."""
        self._stages[stage].observe(max(0.0, seconds))

    def decoded(self, points: int) -> None:
        """So many more points are done."""
        self._points.inc(max(0, points))

    def found(self, masks: int) -> None:
        """The masks of a job were stored."""
        self._masks.inc(masks)

    def _counter(self, metric: Metric) -> Counter:
        return Counter(metric.name, metric.meaning, metric.labels, registry=self.registry)

    def _histogram(self, metric: Metric) -> Histogram:
        return Histogram(metric.name, metric.meaning, metric.labels, buckets=metric.buckets, registry=self.registry)


class _Memory(Collector):
    """What is looked up at each scrape."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        resident = resident_bytes(os.getpid())
        if resident is not None:
            yield GaugeMetricFamily(RESIDENT.name, RESIDENT.meaning, value=resident)


if __name__ == "__main__":
    sys.stdout.write(metrics_table(METRICS))
