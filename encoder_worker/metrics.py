"""Every metric of the worker, and its counts. Nothing else in the worker but `metrics_server` knows prometheus_client.

docs/observability.md shows them; the dashboard and the alerts may use no others. `python -m encoder_worker.metrics`
prints the table there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from encoder_worker.backends.gpu_memory import gpu_memory
from shared.contract.errors import EncodeFailed
from shared.contract.version import installed_version
from shared.observe.metric import Metric, MetricKind, metrics_table

_STAGE_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_QUEUE_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)

STAGES = {
    "load": "the image's bytes come from Redis",
    "decode": "they become pixels",
    "resize": "the long side becomes 1024",
    "wait": "the encoder is busy with others, or waits for a batch to fill up",
    "encode": "the image encoder, with the rest of its batch",
    "store": "the embedding is packed and goes to Redis",
}
"""Every stage of an encoding, in order."""

JOBS = Metric(
    name="sam_worker_jobs_total",
    kind=MetricKind.COUNTER,
    labels=("outcome", "code"),
    meaning="Attempts at an encoding that ended: `done`, `failed` for good, `retried` (back in the queue), `forgotten` "
    "(deleted meanwhile); `code` is the error's, empty if there is none",
)
RECOVERED = Metric(
    name="sam_worker_recovered_jobs_total",
    kind=MetricKind.COUNTER,
    labels=("outcome",),
    meaning="Encodings of workers that died, found by this one: `retried`, or `failed` as their retries were used up",
)
QUEUE_SECONDS = Metric(
    name="sam_worker_queue_seconds",
    kind=MetricKind.HISTOGRAM,
    buckets=_QUEUE_BUCKETS,
    meaning="From an encoding's queueing to its first start, by the clocks of API and worker",
)
STAGE_SECONDS = Metric(
    name="sam_worker_stage_seconds",
    kind=MetricKind.HISTOGRAM,
    labels=("stage",),
    buckets=_STAGE_BUCKETS,
    meaning="What encodings that succeeded spent their time on; together, from the start to the stored embedding",
)
BATCH_IMAGES = Metric(
    name="sam_worker_batch_images",
    kind=MetricKind.HISTOGRAM,
    buckets=(1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64),
    meaning="Images handed to the encoder at once",
)
BATCH_SECONDS = Metric(
    name="sam_worker_batch_seconds",
    kind=MetricKind.HISTOGRAM,
    buckets=_STAGE_BUCKETS,
    meaning="The encoder's time for each of those batches; its rate of seconds per second is how busy the device is",
)
MODEL_LOAD = Metric(
    name="sam_worker_model_load_seconds",
    kind=MetricKind.GAUGE,
    meaning="How long the model took to load and to run for the first time; 0 while it still does",
)
GPU_MEMORY = Metric(
    name="sam_worker_gpu_memory_bytes",
    kind=MetricKind.GAUGE,
    labels=("kind",),
    meaning="Memory of the GPU, where torch uses one: `allocated` and `reserved` by torch, `used` by all, `total`",
)
RESIDENT = Metric(
    name="sam_worker_resident_memory_bytes",
    kind=MetricKind.GAUGE,
    meaning="Resident memory of the worker; on Linux only",
)
BUILD = Metric(
    name="sam_worker_build_info",
    kind=MetricKind.GAUGE,
    labels=("version", "model"),
    meaning="Always 1: the version, and the model it runs",
)

METRICS = (
    JOBS,
    RECOVERED,
    QUEUE_SECONDS,
    STAGE_SECONDS,
    BATCH_IMAGES,
    BATCH_SECONDS,
    MODEL_LOAD,
    GPU_MEMORY,
    RESIDENT,
    BUILD,
)


class WorkerMetrics:
    """Counts of this process; safe for threads. A worker is one process: its jobs run inside it, none is forked.

    Attributes:
        registry: all of them.
    """

    def __init__(self, model: str = "") -> None:
        """Args:
        model: the one it runs.
        """
        # prometheus_client goes by a variable of the environment that may be meant for other programs.
        values.ValueClass = values.MutexValue
        self.registry = CollectorRegistry()
        self._jobs = Counter(JOBS.name, JOBS.meaning, JOBS.labels, registry=self.registry)
        self._recovered = Counter(RECOVERED.name, RECOVERED.meaning, RECOVERED.labels, registry=self.registry)
        # Shown as 0 from the start: Prometheus cannot see a rise to 1 out of nothing, and alerts wait for it.
        self._jobs.labels("failed", EncodeFailed.code)
        for outcome in ("retried", "failed"):
            self._recovered.labels(outcome)
        self._queue_seconds = self._histogram(QUEUE_SECONDS)
        stages = self._histogram(STAGE_SECONDS)
        self._stages = {stage: stages.labels(stage) for stage in STAGES}
        self._batch_images = self._histogram(BATCH_IMAGES)
        self._batch_seconds = self._histogram(BATCH_SECONDS)
        self._model_load = Gauge(MODEL_LOAD.name, MODEL_LOAD.meaning, registry=self.registry)
        build = Gauge(BUILD.name, BUILD.meaning, BUILD.labels, registry=self.registry)
        build.labels(installed_version(), model).set(1)
        self.registry.register(_Memory())

    def loaded(self, seconds: float) -> None:
        """The model is ready."""
        self._model_load.set(seconds)

    def waited(self, seconds: float) -> None:
        """A job starts that was in the queue for so long."""
        self._queue_seconds.observe(max(0.0, seconds))  # clocks differ between hosts

    def ended(self, outcome: str, code: str = "") -> None:
        """An attempt at a job ended; see `JOBS` for the words."""
        self._jobs.labels(outcome, code).inc()

    def recovered(self, outcome: str) -> None:
        """A dead worker's job was found; see `RECOVERED` for the words."""
        self._recovered.labels(outcome).inc()

    def batched(self, images: int, seconds: float) -> None:
        """The encoder ran once."""
        self._batch_images.observe(images)
        self._batch_seconds.observe(seconds)

    def encoded(self, stages: Mapping[str, float]) -> None:
        """An embedding was stored; seconds by stage."""
        for stage, seconds in stages.items():
            self._stages[stage].observe(seconds)

    def _histogram(self, metric: Metric) -> Histogram:
        return Histogram(metric.name, metric.meaning, metric.labels, buckets=metric.buckets, registry=self.registry)


class _Memory(Collector):
    """What is looked up at each scrape."""

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(GPU_MEMORY.name, GPU_MEMORY.meaning, labels=GPU_MEMORY.labels)
        for kind, size in gpu_memory().items():
            family.add_metric([kind], size)
        yield family
        try:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
        except OSError:
            return
        yield GaugeMetricFamily(RESIDENT.name, RESIDENT.meaning, value=pages * os.sysconf("SC_PAGE_SIZE"))


if __name__ == "__main__":
    sys.stdout.write(metrics_table(METRICS))
