"""The RQ worker: one process, one queue, a model that stays loaded, and a lease on each job that ends in seconds.

How a job survives its worker: while it runs, `heartbeat` renews its lease. A worker that was killed, or
ended by `deadline`, renews no more; after `Pace.lease` seconds the next maintenance of any worker of the
queue, at its start and then each `Pace.maintenance` seconds while idle, puts the job back, or fails it for
good when its retries are used up. A job popped but not started is found by `RecoveringQueue`.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import redis
from redis.client import Pipeline
from rq import Queue, worker_registration
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import SimpleWorker

from encoder_worker.metrics.counting import WorkerMetrics
from encoder_worker.rq.job import Encode, EncodeJob
from encoder_worker.rq.job_scope import JobScope
from encoder_worker.rq.recovery import RecoveringQueue
from encoder_worker.rq.tracebacks import release_locals
from encoder_worker.rq.watchdog import TimeLimit, deadline, heartbeat
from shared import log_context, tracing
from shared.errors import SamCacheError
from shared.events import Events
from shared.keys import EmbeddingKey
from shared.tracing import NO_TRACER, Tracer

_log = logging.getLogger(__name__)

_WORKER_TTL = 30
"""Seconds (RQ adds 60) after which the registration of a dead worker disappears."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that decide how soon a death is noticed.

    Attributes:
        lease: a job without a heartbeat for this long is put back.
        beat: between heartbeats of a running job.
        maintenance: between looks for expired leases, and so the longest wait on an empty queue.
        grace: a job that outlives its time-out by this much has its process ended.
        stop: a job that runs this long after SIGTERM is put back, so that the process ends before an orchestrator
            kills it (30 s as a rule).
    """

    lease: int = 15
    beat: float = 5
    maintenance: int = 5
    grace: float = 10
    stop: float = 15


class EncodeWorker(SimpleWorker):
    """Runs `EncodeJob`s of one queue in this process.

    Attributes:
        stopped: SIGTERM or SIGINT was received.
    """

    max_connection_wait_time = 5.0
    death_penalty_class = TimeLimit

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
        """`connection` is this worker's own, see `shared.connections.worker_client`."""
        self.stopped = False
        self._at_once = False
        self._in_encode = False
        self._stop_by = math.inf
        self._pace = pace or Pace()
        self._encode = encode
        self._events = events
        self._tracer = tracer
        self._metrics = metrics or WorkerMetrics()
        super().__init__(
            queue,
            connection=connection,
            worker_ttl=_WORKER_TTL,
            maintenance_interval=self._pace.maintenance,
            job_class=EncodeJob,
            queue_class=RecoveringQueue,
            serializer=JSONSerializer,
            exception_handlers=[self._count_abandoned],
        )

    @property
    def dequeue_timeout(self) -> int:
        return self._pace.maintenance

    @property
    def should_run_maintenance_tasks(self) -> bool:
        # RQ looks here before each job and each wait for one. While no job runs it asks to stop by an exception, raised
        # wherever the signal finds it; inside a `__del__` or a handler of any exception that is lost.
        if self.stopped:
            raise StopRequested
        return bool(super().should_run_maintenance_tasks)

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002  # RQ's signature
        return self._pace.lease

    def bootstrap(self, *args: Any, **options: Any) -> None:
        super().bootstrap(*args, **options)
        _log.info("ready: encoding jobs of %s", ", ".join(self.queue_names()))

    def subscribe(self) -> None:
        """Take no commands over pub/sub: whoever reaches Redis could stop workers with them."""

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stopped = True
        self._stop_by = min(self._stop_by, time.monotonic() + self._pace.stop)
        _log.info("stopping; a job that runs is finished first")
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]  # RQ has no annotation here

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        # RQ raises wherever the signal finds it. That may be between a command to Redis and its reply, which would then
        # be taken for the reply to the next command, perhaps to the one that puts the job back.
        try:
            super().request_force_stop(signum, frame)
        except SystemExit:
            self._at_once = True
            if self._in_encode:
                raise

    def teardown(self) -> None:
        # A stop while idle is raised anywhere (see above): no connection is used again after it.
        self.connection.connection_pool.disconnect(inuse_connections=False)
        super().teardown()  # type: ignore[no-untyped-call]  # RQ has no annotation here

    def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = False) -> None:
        if job.started_at is None and job.enqueued_at is not None:
            self._metrics.waited((now() - job.enqueued_at).total_seconds())
        super().prepare_job_execution(job, remove_from_intermediate_queue)

    def set_shutdown_requested_date(self) -> None:
        """Write nothing: this runs inside the signal handler, where an error of Redis would fail the job."""

    def execute_job(self, job: Job, queue: Queue) -> None:
        try:
            super().execute_job(job, queue)
        except redis.RedisError as error:
            # What is known of the job is in Redis, or lost with it. RQ would log a page, then quit as well.
            assert isinstance(job, EncodeJob)
            with log_context.scope(**job.log_fields):
                _log.warning("lost the queue in the middle of a job: %s", error)
            raise StopRequested from error

    def perform_job(self, job: Job, queue: Queue, execution: Execution) -> bool:
        assert isinstance(job, EncodeJob)
        job.encode = self._encode_unless_stopped
        limit = (job.timeout or queue.DEFAULT_TIMEOUT) + self._pace.grace
        with (
            JobScope.begin(job, self._tracer).until_its_end(),
            heartbeat(lambda: self._beat(lambda: self._renew(job, execution)), self._pace.beat),
            deadline(limit),
        ):
            _log.info("%s: started", job.subject)
            return super().perform_job(job, queue, execution)

    def _encode_unless_stopped(self, key: EmbeddingKey) -> None:
        self._in_encode = True
        try:
            if self._at_once:
                raise SystemExit
            self._encode(key)
        finally:
            self._in_encode = False

    def _beat(self, renew: Callable[[], None]) -> None:
        if time.monotonic() > self._stop_by:
            self._stop_by = math.inf
            _log.warning("what runs does not end in time: it goes back to the queue")
            os.kill(os.getpid(), signal.SIGTERM)  # the second one, which puts it back at no cost
        renew()

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        # RQ writes the registration once. A queue that came back empty, or was out of reach for longer than it lives,
        # would never have it again: probes and metrics would take the worker for dead.
        if pipeline is None:
            with self.connection.pipeline() as own:
                self.heartbeat(timeout, own)
                own.execute()
            return
        if self.birth_date is not None:
            worker_registration.register(self, pipeline)
            pipeline.hset(self.key, mapping=self.serialize())
        super().heartbeat(timeout, pipeline)

    def _renew(self, job: Job, execution: Execution) -> None:
        # Not `maintain_heartbeats`: that writes to the job, which may have been forgotten and would come back
        # as a hash without an end.
        with self.connection.pipeline() as pipeline:
            self.heartbeat(pipeline=pipeline)
            execution.heartbeat(job.started_job_registry, self._pace.lease, pipeline=pipeline)
            pipeline.execute()

    def handle_execution_ended(self, job: Job, queue: Queue, heartbeat_ttl: int) -> None:  # noqa: ARG002
        job.ended_at = now()

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        assert isinstance(job, EncodeJob)
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

    def handle_job_success(self, job: Job, queue: Queue, started_job_registry: Any, execution: Execution) -> None:
        if self._was_forgotten(job, execution):
            self._metrics.ended("forgotten")
            return
        super().handle_job_success(job, queue, started_job_registry, execution)
        self._metrics.ended("done")

    def handle_job_failure(
        self,
        job: Job,
        queue: Queue,
        started_job_registry: Any = None,
        exc_string: str = "",
        execution: Execution | None = None,
    ) -> None:
        if self._was_forgotten(job, execution):
            self._metrics.ended("forgotten")
            return
        super().handle_job_failure(job, queue, started_job_registry, exc_string, execution)
        assert isinstance(job, EncodeJob)
        key = job.embedding_key
        failed = job.get_status(refresh=False) == JobStatus.FAILED
        outcome = "failed" if failed else "retried"
        if job.failure is None:  # it was popped by a worker that died before it began
            self._metrics.recovered(outcome)
        else:
            self._metrics.ended(outcome, job.failure.code)
        if key is not None and not failed:  # the job itself tells of that
            self._events.publish(key, "queued")

    def _count_abandoned(self, job: Job, *_exc_info: Any) -> bool:
        """RQ calls this for each job whose worker died in it, and with what this worker meets it does not."""
        self._metrics.recovered("retried" if job.retries_left else "failed")
        return True

    def _was_forgotten(self, job: Job, execution: Execution | None) -> bool:
        """Whether the job was deleted while it ran; then its end leaves no trace."""
        if self.job_class.exists(job.id, connection=self.connection):
            return False
        with self.connection.pipeline() as pipeline:
            self.cleanup_execution(job, pipeline, execution)
            pipeline.execute()
        return True
