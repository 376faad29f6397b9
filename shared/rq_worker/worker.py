"""The RQ worker that runs jobs of this service, one at a time.

Read `JobWorker.perform_job`: it is one job from its start to its end.

How a job survives its worker: while it runs, `_beat` renews its lease. A worker that was killed, or ended by
`deadline`, renews no more. After `Pace.lease` seconds the lease is over. Every worker of the queue looks for such jobs
at its start and then every `Pace.maintenance` seconds, and puts the job back, or fails it for good when its retries are
used up. `RecoveringQueue` finds a job that was taken from the queue but not started.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import redis
from rq import Queue
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.utils import now
from rq.worker import WorkerStatus

from shared.contract.errors import SamCacheError
from shared.contract.job_key import JobKey
from shared.events.interface import Events
from shared.observe import log_context, tracing
from shared.observe.tracing import NO_TRACER, Tracer
from shared.rq_worker.books import Books
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
        counted = job_class.counted(counts.damaged)
        super().__init__(
            queue,
            connection=connection,
            pace=pace or Pace(),
            job_class=counted,
            on_abandoned=self._count_abandoned,
        )
        (only,) = self.queues
        self._books = Books(
            only,
            connection=connection,
            job_class=counted,
            worker=self.name,
            key=self.key,
            lease=self._pace.lease,
        )

    def run(self, key: JobKey) -> None:
        """Do what a job asks for. It runs in the main thread, which a signal or the time limit may interrupt.

        Raises:
            SamCacheError: why it cannot be done. A `RequestError` is not tried again.
        """
        raise NotImplementedError

    # How jobs are taken.

    def work(self, *args: Any, **options: Any) -> bool:
        """Run jobs until a signal, or with `burst` until there are no more. This is RQ's own loop, with a heartbeat."""
        with beating(self._beat, self._pace.beat):
            return bool(super().work(*args, **options))

    def check_for_suspension(self, burst: bool) -> None:
        """Do nothing: the books know it whenever jobs are taken."""

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Take the next job. RQ's own version waits for one where the queue is empty, and pops it."""
        popped = ""
        while True:
            with suppress(redis.ConnectionError, redis.TimeoutError):  # RQ's own version connects again
                while (jobs := self._take(1, popped)) is None:
                    if self.stopped:
                        raise StopRequested
                    super().check_for_suspension(burst=timeout is None)  # waits for its end
                if jobs:
                    return jobs[0], self.queues[0]
            waited_for = super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
            if waited_for is None:
                return None
            popped = waited_for[0].id

    def _take(self, most: int, popped: str = "") -> list[ServiceJob] | None:
        """As `Books.take`. From the first command on the worker counts as busy, so that a signal interrupts nothing."""
        idle, self._state = self._state, WorkerStatus.BUSY
        try:
            jobs = self._books.take(most, popped)
            for job in jobs or ():
                self.executions[lease_of(job).id] = lease_of(job)
            return jobs
        finally:
            if not self.executions:
                self._state = idle

    # A job from its start to its end.

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a job that was taken."""
        assert isinstance(job, ServiceJob)
        try:
            self.perform_job(job, queue, lease_of(job))
            self._state = WorkerStatus.IDLE
            self._take_breath()
        except redis.RedisError as error:
            # What is known of the job is in Redis, or lost with it. RQ would log a page, then quit as well.
            with log_context.scope(**job.log_fields):
                _log.warning("lost the queue in the middle of a job: %s", error)
            raise StopRequested from error
        finally:
            self.executions.clear()

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        """Run a job that has its lease. RQ's own version would import the function that the job names, and call it.

        Returns:
            Whether it was done.
        """
        assert isinstance(job, ServiceJob)
        limit = time_limit_of(job, queue)
        with JobScope.begin(job, self._tracer).until_its_end(), deadline(limit + self._pace.grace):
            self._started(job)
            try:
                key = job.requested()
                with time_limit(limit), self.interruptible():
                    self.run(key)
                self._done([job])
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

    def _started(self, job: ServiceJob) -> None:
        """Tell of a job that was taken."""
        _log.info("%s: started", job.subject)
        if not job.begun_before and job.started_at is not None and job.enqueued_at is not None:
            self._counts.waited((job.started_at - job.enqueued_at).total_seconds())

    def _done(self, jobs: Sequence[ServiceJob]) -> None:
        """End jobs that were done."""
        for job, known in zip(jobs, self._books.end(jobs), strict=True):
            self.executions.pop(lease_of(job).id, None)
            self._counts.ended("done" if known else "forgotten")

    def _beat(self) -> None:
        """Renew the leases of the jobs that were taken. It runs every `Pace.beat` seconds in another thread."""
        self.interrupt_when_overdue()
        leases = list(self.executions.values())
        if not leases:
            return  # the main thread tells that it lives
        # Not RQ's `maintain_heartbeats`: that writes to the job. If it has been forgotten meanwhile, it would come back
        # as a hash that never expires.
        registry = self.queues[0].started_job_registry
        with self.connection.pipeline() as pipeline:
            self.heartbeat(pipeline=pipeline)
            for lease in leases:
                lease.heartbeat(registry, self._pace.lease, pipeline=pipeline)
            pipeline.execute()

    # What `_finalize_failure` of RQ calls, in this order.

    def handle_execution_ended(self, job: Job, queue: Queue, heartbeat_ttl: int) -> None:  # noqa: ARG002  # RQ's
        job.ended_at = now()

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


def lease_of(job: ServiceJob) -> Execution:
    """The lease of a job that this process has taken."""
    assert job.lease is not None
    return job.lease
