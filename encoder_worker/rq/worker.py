"""The RQ worker of an encoder that takes one image at a time.

Read `shared.rq_worker.worker.JobWorker.perform_job`: it is one job from its start to its end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import redis

from encoder_worker.encoding.device_lost import DeviceLost
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

_log = logging.getLogger(__name__)


class EncodeWorker(JobWorker):
    """Runs the jobs of one queue in this process, one after the other."""

    _lost: DeviceLost | None = None

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
        try:
            self._encode(key)
        except DeviceLost as error:
            self._end_with(error)
            raise

    def work(self, *args: Any, **options: Any) -> bool:
        """As `JobWorker.work`.

        Raises:
            DeviceLost: the encoder cannot encode any more. The jobs that ran are back in the queue.
        """
        worked = super().work(*args, **options)
        if self._lost is not None:
            raise self._lost
        return worked

    def _end_with(self, error: DeviceLost) -> None:
        """Take no more jobs. `work` ends with the error, once the jobs that run have ended."""
        if self._lost is None:
            self._lost, self._stop_requested = error, True
            _log.error("%s; this worker takes no more jobs and ends, so that a new process can start", error.detail)
