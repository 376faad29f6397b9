"""The RQ worker of an encoder that takes batches: many jobs in flight, each started, leased and ended on its own.

Read `BatchWorker.execute_job`: it is one stay in the loop that keeps the pipeline full, from the first job to the last.

All that `worker` promises of a job holds for each of them. A job that was begun before lost its worker, perhaps because
its image kills workers. Such a job runs after the others and alone, so it costs its neighbours one attempt at most.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import redis
from rq import Queue
from rq.exceptions import StopRequested
from rq.job import Job
from rq.worker import WorkerStatus

from encoder_worker.encoding.device_lost import DeviceLost
from encoder_worker.encoding.pipeline import EncodePipeline
from encoder_worker.metrics.counting import WorkerMetrics
from encoder_worker.rq.job import EncodeJob
from encoder_worker.rq.worker import EncodeWorker
from shared.events.interface import Events
from shared.observe.tracing import NO_TRACER, Tracer
from shared.rq_worker.job_scope import JobScope
from shared.rq_worker.pace import Pace
from shared.rq_worker.watchdog import deadline
from shared.rq_worker.worker import lease_of, time_limit_of

_LOOK = 0.02
"""Seconds between two looks for jobs that came while others run."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _InFlight:
    """A job in the pipeline.

    Attributes:
        limit: seconds without the end of any job after which the process is ended.
        overdue: monotonic seconds at which the process is ended because of this job, whatever else ends. The job may
            have to wait for the batches before its own.
    """

    job: EncodeJob
    scope: JobScope
    limit: float
    overdue: float


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
        self._in_flight: dict[Future[None], _InFlight] = {}
        self._last: EncodeJob | None = None  # was begun before, and waits for the others to end
        self._moved = 0.0  # monotonic seconds: the last time that a job ended, or the first one began

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run `job`, and with it what comes while jobs run, until none does or one must run alone."""
        assert isinstance(job, EncodeJob)
        if job.begun_before:
            super().execute_job(job, queue)
            return
        try:
            self._moved = time.monotonic()
            self._start(job)
            while self._in_flight:
                self._start_more()
                self._end_finished()
                if self._at_once or self._lost is not None:
                    self._put_all_back()
                # RQ looks for lost jobs before each job. Under load this loop does not end.
                elif not self.stopped and self.should_run_maintenance_tasks:
                    self.run_maintenance_tasks()  # type: ignore[no-untyped-call]  # RQ has no annotation here
            if self._last is not None:
                self.perform_job(self._last, queue, lease_of(self._last))
            self._state = WorkerStatus.IDLE
            self._take_breath()
        except redis.RedisError as error:
            _log.warning("lost the queue in the middle of a job: %s", error)
            raise StopRequested from error
        finally:
            self.executions.clear()
            self._in_flight.clear()
            self._last = None

    def _start_more(self) -> None:
        free = self._pipeline.capacity - len(self._in_flight)
        if free > 0 and self._last is None and not (self._stop_requested or self._breathing):
            for job in self._take(free) or ():
                assert isinstance(job, EncodeJob)
                self._start(job)

    def _start(self, job: EncodeJob) -> None:
        """Hand the job to the pipeline unless it must run alone."""
        if job.begun_before:
            self._last = job
            return
        limit = time_limit_of(job, self.queues[0])
        overdue = time.monotonic() + self._pipeline.batches * limit + self._pace.grace
        scope = JobScope.begin(job, self._tracer)
        try:
            with scope.entered():
                self._started(job)
                done = self._pipeline.submit(job.requested_key())
        except Exception as error:  # no API of this service made this job
            self._fail(job, scope, error)
            return
        self._in_flight[done] = _InFlight(job, scope, limit + self._pace.grace, overdue)

    def _end_finished(self) -> None:
        """Wait a moment for jobs to finish, and end those that have."""
        with self._ended_when_overdue():
            finished, _ = wait(self._in_flight, timeout=_LOOK, return_when=FIRST_COMPLETED)
        if not finished:
            return
        self._moved = time.monotonic()
        ended = [(self._in_flight.pop(future), future.exception()) for future in finished]
        done = [running for running, error in ended if error is None]
        with ExitStack() as spans:
            for running in done:
                spans.enter_context(running.scope.span)
            if done:
                self._done([running.job for running in done])
        for running, error in ended:
            if isinstance(error, DeviceLost):
                self._end_with(error)
            if error is not None:
                self._fail(running.job, running.scope, error)

    def _put_all_back(self) -> None:
        """End every job as one that had to stop at once, which costs its image no retry."""
        while self._in_flight:
            _, running = self._in_flight.popitem()
            self._fail(running.job, running.scope, SystemExit())
        if self._last is not None:
            self._fail(self._last, JobScope.begin(self._last, self._tracer), SystemExit())
            self._last = None

    def _fail(self, job: EncodeJob, scope: JobScope, error: BaseException) -> None:
        with scope.until_its_end():
            self._finalize_failure(job, self.queues[0], lease_of(job), (type(error), error, error.__traceback__))

    @contextmanager
    def _ended_when_overdue(self) -> Iterator[None]:
        # What hangs in another thread can be ended only with the process.
        first = min(min(running.overdue, self._moved + running.limit) for running in self._in_flight.values())
        with deadline(max(0.001, first - time.monotonic())):
            yield
