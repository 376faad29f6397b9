"""RQ's worker as a process that stays: how it starts, registers, waits for jobs, and stops when it is told to."""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import redis
from redis.client import Pipeline
from rq import worker_registration
from rq.exceptions import StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import now
from rq.worker import SimpleWorker

from shared.queue.registration import KEPT_SECONDS
from shared.rq_worker.pace import Pace
from shared.rq_worker.recovery import RecoveringQueue

_log = logging.getLogger(__name__)

_WORKER_TTL = KEPT_SECONDS - 60
"""Seconds. RQ adds 60 to get those after which the registration of a dead worker disappears."""

_RENEWED = 1.0
"""Seconds between two renewals of a worker's registration by its main thread, at least."""


class ResidentWorker(SimpleWorker):
    """Serves one queue from one process until SIGTERM or SIGINT.

    A first signal lets the running job finish, within `Pace.stop` seconds. A second one ends it at once.

    Attributes:
        stopped: a signal was received.
    """

    max_connection_wait_time = 5.0

    def __init__(
        self,
        queue: str,
        *,
        connection: redis.Redis,
        pace: Pace,
        job_class: type[Job],
        on_abandoned: Callable[..., bool],
    ) -> None:
        """
        Args:
            connection: this worker's own, see `shared.redis.connections.worker_client`.
            on_abandoned: called with each job that is found to have lost its worker.
        """
        self.stopped = False
        self._at_once = False
        self._interruptible = False
        self._stop_by = math.inf
        self._renew_at = -math.inf
        self._pace = pace
        super().__init__(
            queue,
            connection=connection,
            worker_ttl=_WORKER_TTL,
            maintenance_interval=pace.maintenance,
            job_class=job_class,
            queue_class=RecoveringQueue,
            serializer=JSONSerializer,
            exception_handlers=[on_abandoned],
        )

    # How it starts and waits.

    def bootstrap(self, *args: Any, **options: Any) -> None:
        super().bootstrap(*args, **options)
        _log.info("ready: working on jobs of %s", ", ".join(self.queue_names()))

    def subscribe(self) -> None:
        """Take no commands over pub/sub: with them, anyone who reaches Redis could stop workers."""

    @property
    def dequeue_timeout(self) -> int:
        return self._pace.maintenance

    @property
    def should_run_maintenance_tasks(self) -> bool:
        # RQ looks here before each job and before each wait for one. While no job runs, RQ's signal handler raises
        # StopRequested wherever the signal finds the process. Inside a `__del__`, or a handler of any exception, that
        # is lost. So it is raised again here.
        if self.stopped:
            raise StopRequested
        return bool(super().should_run_maintenance_tasks)

    def clean_registries(self) -> None:
        """Recover the jobs of workers that died, and forget ended ones. RQ calls this each `Pace.maintenance` seconds.

        RQ's own version ends at the first entry or key that it cannot read, and then nothing is recovered any more.
        Here each step stands alone, and what this service does not use (deferred jobs, rate limits) is left out.
        """
        for queue in self.queues:
            if not queue.acquire_maintenance_lock():
                continue
            steps: list[Callable[[], object]] = [
                partial(queue.started_job_registry.cleanup, exception_handlers=self._exc_handlers),
                partial(queue.intermediate_queue.cleanup, self, queue),
                queue.finished_job_registry.cleanup,
                queue.failed_job_registry.cleanup,
                partial(worker_registration.clean_worker_registry, queue),
            ]
            for step in steps:
                try:
                    step()
                except (redis.ConnectionError, redis.TimeoutError):
                    raise
                except Exception:  # the other steps find other jobs
                    _log.exception("a step of the maintenance failed")
            queue.release_maintenance_lock()  # type: ignore[no-untyped-call]  # RQ has no annotation here
        self.last_cleaned_at = now()  # type: ignore[assignment]  # RQ declares it as None

    def clean_group_registries(self) -> None:
        """Do nothing: this service has no groups of jobs."""

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:  # noqa: ARG002  # RQ's
        # RQ writes the registration once. A queue that came back empty, or that was out of reach for longer than the
        # registration lives, would never have it again: probes and metrics would take the worker for dead.
        # `timeout`, with which RQ lets the registration of a worker that runs a job end sooner, is not used: the API
        # reads the age of the registration from its time to live.
        if pipeline is None:
            # RQ calls this twice around each job.
            if time.monotonic() >= self._renew_at:
                with self.connection.pipeline() as own:
                    self.heartbeat(None, own)
                    own.execute()
                self._renew_at = time.monotonic() + _RENEWED
            return
        if self.birth_date is not None:
            worker_registration.register(self, pipeline)
            pipeline.hset(self.key, mapping=self.serialize())
        super().heartbeat(KEPT_SECONDS, pipeline)

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:  # noqa: ARG002  # RQ's signature
        return self._pace.lease

    # How it stops.

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        self.stopped = True
        self._stop_by = min(self._stop_by, time.monotonic() + self._pace.stop)
        _log.info("stopping; a job that runs is finished first")
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]  # RQ has no annotation here

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        # RQ raises SystemExit wherever the second signal finds the process. That may be between a command to Redis and
        # its reply. The next command would then take that reply for its own, and it may be the one that puts the job
        # back. So SystemExit is raised inside `interruptible` alone; elsewhere the signal is only noted.
        try:
            super().request_force_stop(signum, frame)
        except SystemExit:
            self._at_once = True
            if self._interruptible:
                self._interruptible = False
                raise

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A second signal ends the block with `SystemExit`, also one that came before. RQ must not use Redis in it."""
        self._interruptible = True
        try:
            if self._at_once:
                raise SystemExit
            yield
        finally:
            self._interruptible = False

    def interrupt_when_overdue(self) -> None:
        """To be called now and then: what still runs `Pace.stop` seconds after the first signal gets the second one."""
        if time.monotonic() > self._stop_by:
            self._stop_by = math.inf
            _log.warning("what runs does not end in time: it goes back to the queue")
            os.kill(os.getpid(), signal.SIGTERM)

    def set_shutdown_requested_date(self) -> None:
        """Write nothing: this runs inside the signal handler, where an error of Redis would fail the job."""

    def teardown(self) -> None:
        # While the worker is idle, a stop is raised wherever the signal finds it. That may be between a command to
        # Redis and its reply, so no connection that was in use before is used again.
        self.connection.connection_pool.disconnect(inuse_connections=False)
        super().teardown()  # type: ignore[no-untyped-call]  # RQ has no annotation here
