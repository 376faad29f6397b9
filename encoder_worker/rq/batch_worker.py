"""The RQ worker of an encoder that takes batches: many jobs in flight, each started, leased and ended on its own.

What `rq_worker` promises of one job holds for each of them. A job that was begun before, by a worker that died of it
for all anyone knows, runs after the others and alone: an image that kills its worker costs its neighbours one
attempt, never all of theirs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass

import redis
from rq import Queue
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.utils import now
from rq.worker import WorkerStatus

from encoder_worker.encoding.pipeline import BATCHES, EncodePipeline
from encoder_worker.metrics.counting import WorkerMetrics
from encoder_worker.rq.job import EncodeJob
from encoder_worker.rq.job_scope import JobScope
from encoder_worker.rq.watchdog import deadline, heartbeat
from encoder_worker.rq.worker import EncodeWorker, Pace
from shared.events import Events
from shared.keys import EmbeddingKey
from shared.tracing import NO_TRACER, Tracer

_LOOK = 0.02
"""Seconds between two looks for jobs that came while others run."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Running:
    """A started job.

    Attributes:
        limit: seconds without the end of any job after which the process is ended.
        overdue: monotonic seconds at which it is ended because of this one, whatever else ends: it may wait for the
            batches before its own.
    """

    job: EncodeJob
    queue: Queue
    execution: Execution
    limit: float
    overdue: float
    scope: JobScope


class BatchWorker(EncodeWorker):
    """Keeps an `EncodePipeline` full with the jobs of one queue."""

    def __init__(
        self,
        queue: str,
        *,
        connection: redis.Redis,
        pipeline: EncodePipeline,
        events: Events,
        pace: Pace | None = None,
        tracer: Tracer = NO_TRACER,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        super().__init__(
            queue,
            connection=connection,
            encode=pipeline.alone,
            events=events,
            pace=pace,
            tracer=tracer,
            metrics=metrics,
        )
        self._pipeline = pipeline
        self._running: dict[str, _Running] = {}  # by job id: all that this process has begun and not ended
        self._in_flight: dict[Future[None], _Running] = {}
        self._last: _Running | None = None
        self._moved = 0.0  # monotonic seconds: the last time that a job ended, or the first began

    def execute_job(self, job: Job, queue: Queue) -> None:
        if _begun_before(job):
            super().execute_job(job, queue)
            return
        try:
            with heartbeat(lambda: self._beat(self._renew_all), self._pace.beat):
                self._run_jobs(job, queue)
            if self._last is not None:
                self.perform_job(self._last.job, self._last.queue, self._last.execution)
            self.set_state(WorkerStatus.IDLE)
        except redis.RedisError as error:
            _log.warning("lost the queue in the middle of a job: %s", error)
            raise StopRequested from error
        finally:
            self._running.clear()
            self._in_flight.clear()
            self._last = None

    def _run_jobs(self, job: Job, queue: Queue) -> None:
        """`job` and what comes while it runs, until nothing does or a job must run alone."""
        self._moved = time.monotonic()
        self._start(job, queue)
        while self._in_flight:
            self._fill_up()
            with self._ended_when_overdue():
                done, _ = wait(self._in_flight, timeout=_LOOK, return_when=FIRST_COMPLETED)
            for future in done:
                self._moved = time.monotonic()
                self._end(self._in_flight.pop(future), future.exception())
            if self._at_once:
                self._put_all_back()
                return
            # RQ looks before each job; under load this loop does not end.
            if not self.stopped and self.should_run_maintenance_tasks:
                self.run_maintenance_tasks()  # type: ignore[no-untyped-call]  # RQ has no annotation here

    def _put_all_back(self) -> None:
        """At no cost to the images."""
        self._last = None
        for running in list(self._running.values()):
            self._end(running, SystemExit())

    def _fill_up(self) -> None:
        while len(self._in_flight) < self._pipeline.capacity and self._last is None and not self._stop_requested:
            popped = self.queue_class.dequeue_any(
                self.queues, None, connection=self.connection, job_class=self.job_class, serializer=self.serializer
            )
            if popped is None:
                return
            self._start(*popped)

    def _start(self, job: Job, queue: Queue) -> None:
        assert isinstance(job, EncodeJob)
        alone = _begun_before(job)
        timeout = job.timeout or queue.DEFAULT_TIMEOUT
        overdue = time.monotonic() + BATCHES * timeout + self._pace.grace
        scope = JobScope.begin(job, self._tracer)
        running = _Running(job, queue, self.prepare_execution(job), timeout + self._pace.grace, overdue, scope)
        self._running[job.id] = running
        self.prepare_job_execution(job, remove_from_intermediate_queue=True)
        job.started_at = now()
        if alone:
            self._last = running
            return
        futures: list[Future[None]] = []

        def submit(key: EmbeddingKey) -> None:
            futures.append(self._pipeline.submit(key))

        job.encode = submit
        try:
            with scope.entered():
                _log.info("%s: started", job.subject)
                job.perform()
        except Exception as error:  # a job of foreign making
            self._end(running, error)
        else:
            self._in_flight[futures[0]] = running

    def _end(self, running: _Running, error: BaseException | None) -> None:
        job, queue, execution = running.job, running.queue, running.execution
        with running.scope.until_its_end():
            if error is None:
                self._finalize_success(job, queue, execution, None)
            else:
                self._finalize_failure(job, queue, execution, (type(error), error, error.__traceback__))
        self._running.pop(job.id, None)

    @contextmanager
    def _ended_when_overdue(self) -> Iterator[None]:
        # Nothing can end what hangs in another thread but the end of the process.
        first = min(min(running.overdue, self._moved + running.limit) for running in self._in_flight.values())
        with deadline(max(0.001, first - time.monotonic())):
            yield

    def _renew_all(self) -> None:
        for running in list(self._running.values()):
            self._renew(running.job, running.execution)


def _begun_before(job: Job) -> bool:
    return job.started_at is not None
