"""The RQ worker that runs jobs of this service, one at a time.

Read `JobWorker.perform_job`: it is one job from its start to its end.

How a job survives its worker: while it runs, `_renew` renews its lease. A worker that was killed, or ended by
`deadline`, renews no more. After `Pace.lease` seconds the lease is over. Every worker of the queue looks for such jobs
at its start and then every `Pace.maintenance` seconds, and puts the job back, or fails it for good when its retries are
used up. `RecoveringQueue` finds a job that was taken from the queue but not started.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Protocol

import redis
from rq import Queue
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.utils import now

from shared.contract.errors import SamCacheError
from shared.contract.job_key import JobKey
from shared.events.interface import Events
from shared.observe import log_context, tracing
from shared.observe.tracing import NO_TRACER, Tracer
from shared.rq_worker.job import ServiceJob
from shared.rq_worker.job_scope import JobScope
from shared.rq_worker.pace import Pace
from shared.rq_worker.resident import ResidentWorker
from shared.rq_worker.tracebacks import release_locals
from shared.rq_worker.watchdog import beating, deadline, time_limit

_log = logging.getLogger(__name__)


class JobCounts(Protocol):
    """Counts the jobs of a worker. The methods of both services' metrics have these names."""

    def waited(self, seconds: float) -> None:
        """A job starts after that long in the queue."""
        ...

    def ended(self, outcome: str, code: str = "") -> None:
        """An attempt at a job ended: `done`, `failed`, `retried` or `forgotten`, with the error's code."""
        ...

    def recovered(self, outcome: str) -> None:
        """A dead worker's job was found: `retried` or `failed`."""
        ...

    def damaged(self) -> None:
        """A job could not be read and was set aside."""
        ...


class JobWorker(ResidentWorker):
    """Runs the jobs of one queue in this process, one after the other. A subclass says how."""

    def __init__(
        self,
        queue: str,
        *,
        connection: redis.Redis,
        job_class: type[ServiceJob],
        events: Events,
        counts: JobCounts,
        pace: Pace | None = None,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        """`connection` is this worker's own, see `shared.redis.connections.worker_client`."""
        self._events = events
        self._tracer = tracer
        self._counts = counts
        self._breathe_until = 0.0
        super().__init__(
            queue,
            connection=connection,
            pace=pace or Pace(),
            job_class=job_class.counted(counts.damaged),
            on_abandoned=self._count_abandoned,
        )

    def run(self, key: JobKey) -> None:
        """Do what a job asks for. It runs in the main thread, which a signal or the time limit may interrupt.

        Raises:
            SamCacheError: why it cannot be done. A `RequestError` is not tried again.
        """
        raise NotImplementedError

    # A job from its start to its end.

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a job that was taken from the queue. RQ's own version creates its lease, then calls `perform_job`."""
        try:
            super().execute_job(job, queue)
            self._take_breath()
        except redis.RedisError as error:
            # What is known of the job is in Redis, or lost with it. RQ would log a page, then quit as well.
            assert isinstance(job, ServiceJob)
            with log_context.scope(**job.log_fields):
                _log.warning("lost the queue in the middle of a job: %s", error)
            raise StopRequested from error

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """Run a job that has its lease. RQ's own version would import the function that the job names, and call it.

        Returns:
            Whether it was done.
        """
        assert isinstance(job, ServiceJob)
        limit = time_limit_of(job, queue)
        with (
            JobScope.begin(job, self._tracer).until_its_end(),
            beating(lambda: self._beat([(job, execution)]), self._pace.beat),
            deadline(limit + self._pace.grace),
        ):
            _log.info("%s: started", job.subject)
            try:
                self._mark_started(job)
                key = job.requested()
                with time_limit(limit), self.interruptible():
                    self.run(key)
                self._finalize_success(job, queue, execution, None)
            except BaseException as error:
                self._finalize_failure(job, queue, execution, (type(error), error, error.__traceback__))
                return False
            return True

    @property
    def _breathing(self) -> bool:
        """Whether this worker must leave the next job to others for a moment."""
        return time.monotonic() < self._breathe_until

    def _take_breath(self) -> None:
        if not self.stopped:
            time.sleep(max(0.0, self._breathe_until - time.monotonic()))

    def _mark_started(self, job: Job) -> None:
        """From here on the job counts as running, and is recovered by its lease if this process dies."""
        if job.started_at is None and job.enqueued_at is not None:
            self._counts.waited((now() - job.enqueued_at).total_seconds())
        self.prepare_job_execution(job, remove_from_intermediate_queue=True)
        job.started_at = now()

    def _beat(self, running: list[tuple[Job, Execution]]) -> None:
        """What happens every `Pace.beat` seconds, in another thread, while jobs run."""
        self.interrupt_when_overdue()
        for job, execution in running:
            self._renew(job, execution)

    def _renew(self, job: Job, execution: Execution) -> None:
        # Not RQ's `maintain_heartbeats`: that writes to the job. If it has been forgotten meanwhile, it would come back
        # as a hash that never expires.
        with self.connection.pipeline() as pipeline:
            self.heartbeat(pipeline=pipeline)
            execution.heartbeat(job.started_job_registry, self._pace.lease, pipeline=pipeline)
            pipeline.execute()

    # What `_finalize_success` and `_finalize_failure` of RQ call, in this order.

    def handle_execution_ended(self, job: Job, queue: Queue, heartbeat_ttl: int) -> None:  # noqa: ARG002  # RQ's
        job.ended_at = now()

    def handle_job_success(self, job: Job, queue: Queue, started_job_registry: Any, execution: Execution) -> None:
        if self._was_forgotten(job, execution):
            self._counts.ended("forgotten")
            return
        super().handle_job_success(job, queue, started_job_registry, execution)
        self._counts.ended("done")

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        assert isinstance(job, ServiceJob)
        error = exc_info[1]
        job.record_failure(error)
        assert job.failure is not None
        tracing.current().fail(job.failure.code)
        _log.warning(
            "%s failed, %s: %s: %s",
            job.subject,
            "may be tried again" if job.should_retry else "for good",
            job.failure.code,
            job.failure.detail,
            extra={"code": job.failure.code},
            exc_info=None if isinstance(error, SamCacheError | redis.RedisError | SystemExit) else error,
        )
        release_locals(error)
        if isinstance(error, MemoryError):
            self._breathe_until = time.monotonic() + self._pace.breather

    def handle_job_failure(
        self,
        job: Job,
        queue: Queue,
        started_job_registry: Any = None,
        exc_string: str = "",
        execution: Execution | None = None,
    ) -> None:
        # RQ also calls this, and nothing else, for a job whose worker died before it started the job.
        if self._was_forgotten(job, execution):
            self._counts.ended("forgotten")
            return
        super().handle_job_failure(job, queue, started_job_registry, exc_string, execution)
        assert isinstance(job, ServiceJob)
        failed = job.get_status(refresh=False) == JobStatus.FAILED
        outcome = "failed" if failed else "retried"
        if job.failure is None:
            self._counts.recovered(outcome)
        else:
            self._counts.ended(outcome, job.failure.code)
        key = job.known_key
        if key is not None and not failed:  # `ServiceJob._handle_failure` has told of a failure for good
            self._events.publish(key, "queued")

    def _was_forgotten(self, job: Job, execution: Execution | None) -> bool:
        """Whether the job was deleted while it ran. Then its end leaves no trace."""
        if self.job_class.exists(job.id, connection=self.connection):
            return False
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline, execution)
            pipeline.execute()
        return True

    def _count_abandoned(self, job: Job, *_exc_info: Any) -> bool:
        """RQ calls this for each job whose lease is over: the worker that ran it has died."""
        self._counts.recovered("retried" if job.retries_left else "failed")
        return True


def time_limit_of(job: Job, queue: Queue) -> int:
    """Seconds that the job may take."""
    return int(job.timeout or queue.DEFAULT_TIMEOUT)
