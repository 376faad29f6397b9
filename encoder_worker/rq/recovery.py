"""The worker's view of its RQ queue. It finds lost jobs in seconds, where RQ takes minutes or hours."""

from __future__ import annotations

from datetime import timedelta

from rq import Queue
from rq.intermediate_queue import IntermediateQueue
from rq.utils import now

_MAINTENANCE_LOCK = 10
"""Seconds. RQ has 15 minutes, for which a worker that is killed during maintenance would stop all recovery."""


class RecoveringQueue(Queue):
    """An RQ queue that never loses a job for long."""

    def acquire_maintenance_lock(self) -> bool:
        return bool(self.connection.set(self.registry_cleaning_key, 1, nx=True, ex=_MAINTENANCE_LOCK))

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

    def remove(self, job_id: str) -> None:
        super().remove(job_id)
        self.connection.delete(self.get_first_seen_key(job_id))
