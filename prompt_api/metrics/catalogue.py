"""Every metric of the API. docs/observability.md shows them; the dashboard and the alerts may use no others."""

from __future__ import annotations

from shared.observe.metric import Metric, MetricKind

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Limits of histogram buckets: close together around the 30 to 50 ms of a prompt, and up to the longest `wait`."""

REQUESTS = Metric(
    name="sam_api_requests_total",
    kind=MetricKind.COUNTER,
    labels=("route", "method", "status", "code"),
    meaning="Answered requests. `code` is the code of the problem document, empty for other answers; `rate-limited` "
    "and `overloaded` are refusals. Requests that waitress refuses, and unknown paths, have the route `other`",
)
REQUEST_SECONDS = Metric(
    name="sam_api_request_duration_seconds",
    kind=MetricKind.HISTOGRAM,
    labels=("route", "method"),
    buckets=_SECONDS,
    meaning="From the request's last byte until the answer is handed to the socket; for event streams, until their end",
)
IN_FLIGHT = Metric(
    name="sam_api_requests_in_flight",
    kind=MetricKind.GAUGE,
    meaning="Requests that hold a thread now, including the scrape",
)
STAGE_SECONDS = Metric(
    name="sam_api_stage_seconds",
    kind=MetricKind.HISTOGRAM,
    labels=("route", "stage"),
    buckets=_SECONDS,
    meaning="What uploads and prompts spend their time on. A stage that a request does not enter is not counted. "
    "All stages but `receive` add up to the request's duration",
)
PROMPTS = Metric(
    name="sam_api_prompts_total",
    kind=MetricKind.COUNTER,
    meaning="Prompts answered with masks; each prompt of a batch counts",
)
LOOKUPS = Metric(
    name="sam_api_embedding_lookups_total",
    kind=MetricKind.COUNTER,
    labels=("tier",),
    meaning="Embeddings looked up for prompts: found in `memory`, in `redis`, or `absent` (not encoded yet, or lost). "
    "A prompt that waits for an absent one looks again",
)
LOST = Metric(
    name="sam_api_embeddings_lost_total",
    kind=MetricKind.COUNTER,
    meaning="Encodings queued again because the embedding was no longer in Redis: evicted, expired or lost",
)
DAMAGED = Metric(
    name="sam_api_embeddings_damaged_total",
    kind=MetricKind.COUNTER,
    meaning="Stored embeddings that failed their checksum and were dropped",
)
LRU_BYTES = Metric(
    name="sam_api_lru_bytes",
    kind=MetricKind.GAUGE,
    labels=("cache",),
    meaning="Bytes held in memory: `embeddings` (prepared images), `logits` and `features` (for searches of similar "
    "objects), over all processes",
)
LRU_ENTRIES = Metric(
    name="sam_api_lru_entries",
    kind=MetricKind.GAUGE,
    labels=("cache",),
    meaning="Entries held in memory, over all processes",
)
LRU_EVICTIONS = Metric(
    name="sam_api_lru_evictions_total",
    kind=MetricKind.COUNTER,
    labels=("cache",),
    meaning="Entries that were evicted to make room for others",
)
UPLOADS = Metric(
    name="sam_api_uploads_total",
    kind=MetricKind.COUNTER,
    labels=("outcome",),
    meaning="Accepted uploads: each `queued` an encoding, `joined` an encoding under way, or found the image `ready`",
)
UPLOAD_BYTES = Metric(
    name="sam_api_upload_bytes_total",
    kind=MetricKind.COUNTER,
    meaning="Bytes of accepted uploads",
)
BREAKERS = Metric(
    name="sam_api_redis_breakers_open",
    kind=MetricKind.GAUGE,
    labels=("client",),
    meaning="Redis servers known to hang, counted once per process that knows it, by client: `cache`, `queue`, `rates`",
)
UP = Metric(
    name="sam_api_dependency_up",
    kind=MetricKind.GAUGE,
    labels=("dependency",),
    meaning="1 if `cache` or `queue` answers and is fit for its role, and if this process hears `events`, as in "
    "`/readyz`; asked at each scrape",
)
WAITING = Metric(
    name="sam_queue_waiting_jobs",
    kind=MetricKind.GAUGE,
    labels=("model",),
    meaning="Encodings that wait for a worker. Every replica gives the same number; while Redis is away it is missing",
)
OLDEST = Metric(
    name="sam_queue_oldest_seconds",
    kind=MetricKind.GAUGE,
    labels=("model",),
    meaning="How long the next encoding in the queue has been waiting; 0 if the queue is empty",
)
RUNNING = Metric(
    name="sam_queue_running_jobs",
    kind=MetricKind.GAUGE,
    labels=("model",),
    meaning="Encodings that a worker has begun",
)
WORKERS = Metric(
    name="sam_queue_workers",
    kind=MetricKind.GAUGE,
    labels=("model",),
    meaning="Workers that are alive; one that died is no longer counted after 15 s",
)
ENCODE_QUEUE = (WAITING, OLDEST, RUNNING, WORKERS)
EVERYTHING_WAITING = Metric(
    name="sam_everything_waiting_jobs",
    kind=MetricKind.GAUGE,
    labels=("model",),
    meaning="Everything jobs that wait for a mask worker",
)
EVERYTHING_OLDEST = Metric(
    name="sam_everything_oldest_seconds",
    kind=MetricKind.GAUGE,
    labels=("model",),
    meaning="How long the next everything job in the queue has been waiting; 0 if the queue is empty",
)
EVERYTHING_RUNNING = Metric(
    name="sam_everything_running_jobs",
    kind=MetricKind.GAUGE,
    labels=("model",),
    meaning="Everything jobs that a mask worker has begun",
)
EVERYTHING_WORKERS = Metric(
    name="sam_everything_workers",
    kind=MetricKind.GAUGE,
    labels=("model",),
    meaning="Mask workers that are alive; one that died is no longer counted after 15 s",
)
EVERYTHING_QUEUE = (EVERYTHING_WAITING, EVERYTHING_OLDEST, EVERYTHING_RUNNING, EVERYTHING_WORKERS)
PROCESSES = Metric(name="sam_api_processes", kind=MetricKind.GAUGE, meaning="API processes on the scraped port")
RESIDENT = Metric(
    name="sam_api_resident_memory_bytes",
    kind=MetricKind.GAUGE,
    meaning="Resident memory of those processes together; on Linux only",
)
BUILD = Metric(
    name="sam_api_build_info",
    kind=MetricKind.GAUGE,
    labels=("version", "model"),
    meaning="Always 1. The labels are the version and the default model",
)

METRICS = (
    REQUESTS,
    REQUEST_SECONDS,
    IN_FLIGHT,
    STAGE_SECONDS,
    PROMPTS,
    LOOKUPS,
    LOST,
    DAMAGED,
    LRU_BYTES,
    LRU_ENTRIES,
    LRU_EVICTIONS,
    UPLOADS,
    UPLOAD_BYTES,
    BREAKERS,
    UP,
    WAITING,
    OLDEST,
    RUNNING,
    WORKERS,
    *EVERYTHING_QUEUE,
    PROCESSES,
    RESIDENT,
    BUILD,
)
