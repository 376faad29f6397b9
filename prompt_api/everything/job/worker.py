"""The RQ worker that runs everything jobs, one at a time. See `shared.rq_worker.worker` for a job from start to end."""

from __future__ import annotations

from collections.abc import Callable

import redis

from prompt_api.everything.job.key import EVERYTHING_JOB, EverythingKey
from prompt_api.metrics.mask_worker import MaskWorkerMetrics
from shared.contract.errors import EverythingFailed
from shared.contract.job_key import JobKey
from shared.events.interface import Events
from shared.observe.tracing import NO_TRACER, Tracer
from shared.rq_worker.job import ServiceJob
from shared.rq_worker.pace import Pace
from shared.rq_worker.worker import JobWorker

Search = Callable[[EverythingKey], None]
"""The use case, see `prompt_api.everything.job.search.SearchImage`."""


class EverythingJob(ServiceJob):
    """Asks for every mask of an image."""

    name = EVERYTHING_JOB
    failed = EverythingFailed
    work = "the search for masks"
    died = "the mask worker died, or was ended after the time-out, at each attempt at this image"

    @classmethod
    def key_of(cls, arguments: object) -> EverythingKey:
        """See `EverythingKey.of_job`."""
        return EverythingKey.of_job(arguments)


class MaskWorker(JobWorker):
    """Runs the everything jobs of one queue in this process."""

    def __init__(
        self,
        queue: str,
        *,
        connection: redis.Redis,
        search: Search,
        events: Events,
        pace: Pace | None = None,
        tracer: Tracer = NO_TRACER,
        metrics: MaskWorkerMetrics | None = None,
    ) -> None:
        """`connection` is this worker's own, see `shared.redis.connections.worker_client`."""
        self._search = search
        metrics = metrics or MaskWorkerMetrics()
        super().__init__(
            queue,
            connection=connection,
            job_class=EverythingJob,
            events=events,
            counts=metrics,
            pace=pace,
            tracer=tracer,
        )

    def run(self, key: JobKey) -> None:
        """Find the masks that the job asks for."""
        assert isinstance(key, EverythingKey)
        self._search(key)
