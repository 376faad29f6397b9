"""The RQ worker of an encoder that takes one image at a time.

Read `shared.rq_worker.worker.JobWorker.perform_job`: it is one job from its start to its end.
"""

from __future__ import annotations

from collections.abc import Callable

import redis

from encoder_worker.metrics.counting import WorkerMetrics
from encoder_worker.rq.job import EncodeJob
from shared.contract.job_key import JobKey
from shared.contract.keys import EmbeddingKey
from shared.events.interface import Events
from shared.observe.tracing import NO_TRACER, Tracer
from shared.rq_worker.pace import Pace
from shared.rq_worker.worker import JobWorker

Encode = Callable[[EmbeddingKey], None]
"""The use case, see `encoder_worker.encoding.encode.EncodeImage`."""


class EncodeWorker(JobWorker):
    """Runs the jobs of one queue in this process, one after the other."""

    def __init__(
        self,
        queue: str,
        *,
        connection: redis.Redis,
        encode: Encode,
        events: Events,
        pace: Pace | None = None,
        tracer: Tracer = NO_TRACER,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        """`connection` is this worker's own, see `shared.redis.connections.worker_client`."""
        self._encode = encode
        metrics = metrics or WorkerMetrics()
        super().__init__(
            queue,
            connection=connection,
            job_class=EncodeJob,
            events=events,
            counts=metrics,
            pace=pace,
            tracer=tracer,
        )

    def run(self, key: JobKey) -> None:
        """Make the embedding that the job asks for."""
        assert isinstance(key, EmbeddingKey)
        self._encode(key)
