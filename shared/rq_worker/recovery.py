"""The worker's view of its RQ queue. It finds lost jobs in seconds, where RQ takes minutes or hours."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import redis
from rq import Queue
from rq.exceptions import AbandonedJobError, NoSuchJobError
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job, JobStatus
from rq.job_lifecycle import call_exception_handlers, record_job_failure
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import current_timestamp, now

if TYPE_CHECKING:
    from rq.worker import BaseWorker

_log = logging.getLogger(__name__)

_MAINTENANCE_LOCK = 10
"""Seconds. RQ has 15 minutes, for which a worker that is killed during maintenance would stop all recovery."""


class RecoveringQueue(Queue):
    """An RQ queue that never loses a job for long."""

    @classmethod
    def dequeue_any(cls, *args: Any, **options: Any) -> tuple[Job, Queue] | None:
        """Take the next job. An entry that is no job's id is passed over; the maintenance drops it."""
        while True:
            try:
                return super().dequeue_any(*args, **options)
            except ValueError as error:
                _log.error("passed over an entry of the queue that is no job: %s", error)

    def acquire_maintenance_lock(self) -> bool:
        return bool(self.connection.set(self.registry_cleaning_key, 1, nx=True, ex=_MAINTENANCE_LOCK))

    @property
    def started_job_registry(self) -> RecoveringStartedRegistry:
        return RecoveringStartedRegistry(queue=self, job_class=self.job_class)

    @property
    def intermediate_queue(self) -> RecoveringIntermediateQueue:
        return RecoveringIntermediateQueue(self.key, self.connection)


class RecoveringIntermediateQueue(IntermediateQueue):
    """Where a job is between pop and start. That takes milliseconds, unless its worker is killed there.

    RQ remembers for a day when it first saw a job here. But job ids come back, see `EmbeddingKey.job_id`: when the same
    job is popped again that day, RQ would at once take it for stuck. So the memory is short here.
    """

    grace = timedelta(seconds=5)
    _MEMORY = 60  # seconds

    def set_first_seen(self, job_id: str) -> bool:
        seen = self.connection.set(self.get_first_seen_key(job_id), now().timestamp(), nx=True, ex=self._MEMORY)
        return bool(seen)

    def should_be_cleaned_up(self, job_id: str) -> bool:
        first_seen = self.get_first_seen(job_id)
        return first_seen is not None and now() - first_seen > self.grace

    def get_first_seen(self, job_id: str) -> datetime | None:
        try:
            return super().get_first_seen(job_id)
        except (ValueError, OverflowError, OSError):  # no time that RQ wrote
            self.connection.delete(self.get_first_seen_key(job_id))
            return None

    def remove(self, job_id: str) -> None:
        super().remove(job_id)
        self.connection.delete(self.get_first_seen_key(job_id))

    def cleanup(self, worker: BaseWorker, queue: Queue) -> None:
        """Put back each job that has been here for longer than `grace` without a lease.

        RQ's own version ends at the first entry that it cannot read.
        """
        leases: Any = self.connection.zrange(queue.started_job_registry.key, 0, -1)
        leased = {lease.rpartition(b":")[0] for lease in leases}
        entries: Any = self.connection.lrange(self.key, 0, -1)
        for entry in entries:
            if entry not in leased:
                with skipping_damage(entry, partial(self.connection.lrem, self.key, 1, entry)):
                    self._recover(entry.decode(), worker, queue)

    def _recover(self, job_id: str, worker: BaseWorker, queue: Queue) -> None:
        job = queue.fetch_job(job_id)
        if job is None:
            self.remove(job_id)
        elif not self.set_first_seen(job_id) and self.should_be_cleaned_up(job_id):
            worker.handle_job_failure(job, queue, exc_string="Job was stuck in intermediate queue.")
            self.remove(job_id)


class RecoveringStartedRegistry(StartedJobRegistry):
    """The leases of running jobs."""

    def cleanup(self, timestamp: float | None = None, exception_handlers: list[Any] | None = None) -> None:
        """Put each job back whose lease is over, or fail it for good if its retries are used up.

        RQ's own version does this for all of them in one step, which one job that it cannot read prevents.
        """
        now_or_then = current_timestamp() if timestamp is None else timestamp
        entries: Any = self.connection.zrangebyscore(self.key, 0, now_or_then)
        for entry in entries:
            with skipping_damage(entry, partial(self.connection.zrem, self.key, entry)):
                self._recover(entry, exception_handlers or [])

    def _recover(self, entry: bytes, exception_handlers: list[Any]) -> None:
        job = None
        with suppress(NoSuchJobError):
            job_id = self.parse_job_id(entry.decode())
            job = self.job_class.fetch(job_id, connection=self.connection, serializer=self.serializer)
        with self.connection.pipeline() as pipeline:
            # A job that is not running has ended; only its lease was left.
            if job is not None and job.get_status(refresh=False) == JobStatus.STARTED:
                call_exception_handlers(exception_handlers, job, AbandonedJobError, AbandonedJobError(), None)
                if job.should_retry:
                    job.retry(Queue(self.name, connection=self.connection, serializer=JSONSerializer), pipeline)
                else:
                    record_job_failure(job, "its worker died", pipeline)
            pipeline.zrem(self.key, entry)
            pipeline.execute()


@contextmanager
def skipping_damage(entry: bytes, drop: Callable[[], object]) -> Iterator[None]:
    """Have `drop` called for an entry whose recovery fails in the block, so that it stops no other.

    A Redis that is out of reach is no fault of the entry.
    """
    try:
        yield
    except (redis.ConnectionError, redis.TimeoutError):
        raise
    except Exception:
        _log.exception("the entry %.200r cannot be recovered and is dropped", entry)
        drop()
