"""Every metric of the worker: its name, its labels, its meaning.

docs/observability.md shows them, and the dashboard and the alerts may use no others. `python -m encoder_worker.metrics`
prints the table of that document.
"""

from __future__ import annotations

from shared.observe.metric import Metric, MetricKind

_STAGE_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_QUEUE_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)

STAGES = {
    "load": "the image's bytes come from Redis; not for a region of a picture that is kept",
    "decode": "they become pixels, once there is room for them and a process that decodes is idle",
    "resize": "a region is cut out; the long side becomes 1024",
    "wait": "the encoder is busy with others, or waits for a batch to fill up",
    "encode": "the image encoder, with the rest of its batch",
    "store": "the embedding is packed and goes to Redis",
}
"""Every stage of an encoding, in order."""

JOBS = Metric(
    name="sam_worker_jobs_total",
    kind=MetricKind.COUNTER,
    labels=("outcome", "code"),
    meaning="Attempts to encode that ended: `done`, `failed` for good, `retried` (back in the queue), `forgotten` "
    "(the image was deleted meanwhile); `code` is the code of the error, empty without an error",
)
RECOVERED = Metric(
    name="sam_worker_recovered_jobs_total",
    kind=MetricKind.COUNTER,
    labels=("outcome",),
    meaning="Encodings of dead workers that this worker found: `retried`, or `failed` because no retries were left",
)
DAMAGED = Metric(
    name="sam_worker_damaged_jobs_total",
    kind=MetricKind.COUNTER,
    meaning="Jobs that this worker could not read and set aside under `sam:damaged-job:…` in the queue's Redis",
)
QUEUE_SECONDS = Metric(
    name="sam_worker_queue_seconds",
    kind=MetricKind.HISTOGRAM,
    buckets=_QUEUE_BUCKETS,
    meaning="Time from the queueing of an encoding to its first start, by the clocks of API and worker",
)
STAGE_SECONDS = Metric(
    name="sam_worker_stage_seconds",
    kind=MetricKind.HISTOGRAM,
    labels=("stage",),
    buckets=_STAGE_BUCKETS,
    meaning="What successful encodings spent their time on. The stages add up to the time from the start to the stored "
    "embedding",
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
    meaning="The encoder's time for each batch; its rate, in seconds per second, is how busy the device is",
)
REGION_PICTURES = Metric(
    name="sam_worker_region_pictures_total",
    kind=MetricKind.COUNTER,
    labels=("outcome",),
    meaning="Regions by where their picture came from: `kept` (it was still decoded in memory), or `decoded` for them",
)
PICTURE_BYTES = Metric(
    name="sam_worker_picture_bytes",
    kind=MetricKind.GAUGE,
    meaning="Bytes of decoded pictures kept in memory for further regions, see `SAM_WORKER_PICTURE_BYTES`",
)
DECODERS = Metric(
    name="sam_worker_decoders",
    kind=MetricKind.GAUGE,
    meaning="Processes that decode for this worker and run now; 0 if it decodes by itself. One that died is missing "
    "until an image needs it",
)
DECODER_DEATHS = Metric(
    name="sam_worker_decoder_deaths_total",
    kind=MetricKind.COUNTER,
    labels=("cause",),
    meaning="Processes that decode and had to be replaced: `killed` (by SIGKILL, as the system does when memory runs "
    "out), `crashed` (they ended with another status), `too_slow` (no answer in time). An image that was decoded then "
    "lost an attempt",
)
DECODER_MEMORY = Metric(
    name="sam_worker_decoder_memory_bytes",
    kind=MetricKind.GAUGE,
    meaning="Resident memory of the processes that decode, together; `sam_worker_resident_memory_bytes` leaves it out. "
    "What they share is counted for each; on Linux only",
)
MODEL_LOAD = Metric(
    name="sam_worker_model_load_seconds",
    kind=MetricKind.GAUGE,
    meaning="How long the model took to load and to run for the first time; 0 until that is done",
)
GPU_MEMORY = Metric(
    name="sam_worker_gpu_memory_bytes",
    kind=MetricKind.GAUGE,
    labels=("kind",),
    meaning="Memory of the GPU if torch uses one: `allocated` and `reserved` by torch, `used` by all programs, `total`",
)
RESIDENT = Metric(
    name="sam_worker_resident_memory_bytes",
    kind=MetricKind.GAUGE,
    meaning="Resident memory of the worker itself, without the processes that decode for it; on Linux only",
)
BUILD = Metric(
    name="sam_worker_build_info",
    kind=MetricKind.GAUGE,
    labels=("version", "model"),
    meaning="Always 1. The labels are the version and the model of the worker",
)

METRICS = (
    JOBS,
    RECOVERED,
    DAMAGED,
    QUEUE_SECONDS,
    STAGE_SECONDS,
    BATCH_IMAGES,
    BATCH_SECONDS,
    REGION_PICTURES,
    PICTURE_BYTES,
    DECODERS,
    DECODER_DEATHS,
    DECODER_MEMORY,
    MODEL_LOAD,
    GPU_MEMORY,
    RESIDENT,
    BUILD,
)
