"""The queues of encodings and of everything jobs as the API and the workers see them: the protocol and its types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias, TypeVar

from shared.contract import errors
from shared.contract.errors import SamCacheError
from shared.contract.job_key import JobKey
from shared.contract.keys import EmbeddingKey

SHORT_FAILURE_TTL = 10
"""Seconds that a failure of the workers, not of the image, is remembered. Then whoever looks has it encoded again."""


class JobStatus(StrEnum):
    """State of one job in the queue."""

    ABSENT = "absent"  # never submitted, lost, or no longer remembered after it finished or failed
    QUEUED = "queued"
    ENCODING = "encoding"  # a worker runs it
    DONE = "done"  # finished a moment ago; what it makes was stored before
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobState:
    """What the queue knows of one job.

    Attributes:
        status: see `JobStatus`.
        position: number of jobs before this one; 0 is next. None if it is not queued, or has just left the queue.
        error_code: stable code of the recorded failure; None if it has not failed.
        error_detail: message of that failure; None if it has not failed.
    """

    status: JobStatus
    position: int | None = None
    error_code: str | None = None
    error_detail: str | None = None

    def error(self, otherwise: type[SamCacheError]) -> SamCacheError:
        """Return the recorded failure as an error of its own class.

        Args:
            otherwise: the class for a code that no worker of this service records.
        """
        kind = _RECORDED.get(self.error_code or "", otherwise)
        pause = SHORT_FAILURE_TTL if issubclass(kind, errors.Unavailable) else None
        return kind(self.error_detail or "the job failed", retry_after=pause)


_RECORDED: dict[str, type[SamCacheError]] = {
    kind.code: kind
    for kind in (
        errors.InvalidImage,
        errors.UnsupportedImage,
        errors.ImageTooLarge,
        errors.ImageExpired,
        errors.EmbeddingPending,
        errors.InvalidParameter,
        errors.EncodeFailed,
        errors.EverythingFailed,
        errors.Overloaded,
    )
}
"""The failures that workers record, by code."""

ABSENT = JobState(JobStatus.ABSENT)


K_contra = TypeVar("K_contra", bound=JobKey, contravariant=True)


class JobQueue(Protocol[K_contra]):
    """Jobs waiting for a worker, one per key. Any method may raise `StoreUnavailable`."""

    def submit(self, key: K_contra) -> bool:
        """Add a job for `key`, unless the queue already knows one. The call is atomic.

        Returns:
            True if this call added the job, False if it joined one (queued, running, done or failed).

        Raises:
            Overloaded: the maximum number of jobs is waiting already.
        """
        ...

    def state(self, key: K_contra) -> JobState: ...

    def forget(self, key: K_contra) -> None:
        """Drop the job, whether it is waiting, done or failed. A running job goes on, but the queue forgets it."""
        ...

    def forget_all(self, keys: Sequence[K_contra]) -> None:
        """Do what `forget` does for each key that has a job. One look finds which keys have one."""
        ...

    def workers_alive(self, queue: str) -> int:
        """Return the number of workers of a queue that gave a sign of life a moment ago.

        A worker that was killed, hangs or lost Redis counts for 15 s more. One that stopped in order does not count.

        Args:
            queue: its name: `JobKey.queue`, or for encodings `queue_name(model.name, model.weights_digest)`.
        """
        ...

    def ping(self) -> None:
        """Return if the queue answers and keeps its jobs.

        Raises:
            ConfigurationError: the queue may evict jobs.
        """
        ...


EncodeQueue: TypeAlias = JobQueue[EmbeddingKey]
"""Encodings waiting for a worker, one job per embedding key."""
