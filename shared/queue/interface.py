"""The queue of encodings as the API and the worker see it: the protocol and its types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from shared.contract.keys import EmbeddingKey

SHORT_FAILURE_TTL = 10
"""Seconds that a failure of the workers, not of the image, is remembered. Then whoever looks has it encoded again."""


class JobStatus(StrEnum):
    """State of one encoding in the queue."""

    ABSENT = "absent"  # never submitted, lost, or no longer remembered after it finished or failed
    QUEUED = "queued"
    ENCODING = "encoding"
    DONE = "done"  # finished a moment ago; the embedding was stored before
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobState:
    """What the queue knows of one encoding.

    Attributes:
        status: see `JobStatus`.
        position: number of encodings before this one; 0 is next. None if it is not queued, or has just left the queue.
        error_code: stable code of the recorded failure; None if it has not failed.
        error_detail: message of that failure; None if it has not failed.
    """

    status: JobStatus
    position: int | None = None
    error_code: str | None = None
    error_detail: str | None = None


ABSENT = JobState(JobStatus.ABSENT)


class EncodeQueue(Protocol):
    """Encodings waiting for a worker, one job per embedding key. Any method may raise `StoreUnavailable`."""

    def submit(self, key: EmbeddingKey) -> bool:
        """Add a job for `key`, unless the queue already knows one. The call is atomic.

        Returns:
            True if this call added the job, False if it joined one (queued, encoding, done or failed).

        Raises:
            Overloaded: the maximum number of encodings is waiting already.
        """
        ...

    def state(self, key: EmbeddingKey) -> JobState: ...

    def forget(self, key: EmbeddingKey) -> None:
        """Drop the job, whether it is waiting, done or failed. A running job goes on, but the queue forgets it."""
        ...

    def forget_all(self, keys: Sequence[EmbeddingKey]) -> None:
        """Do what `forget` does for each key that has a job. One look finds which keys have one."""
        ...

    def workers_alive(self, queue: str) -> int:
        """Return the number of workers of a queue that gave a sign of life a moment ago.

        A worker that was killed, hangs or lost Redis counts for 15 s more. One that stopped in order does not count.

        Args:
            queue: name of the model's queue: `EmbeddingKey.queue`, or `queue_name(model.name, model.weights_digest)`.
        """
        ...

    def ping(self) -> None:
        """Return if the queue answers and keeps its jobs.

        Raises:
            ConfigurationError: the queue may evict jobs.
        """
        ...
