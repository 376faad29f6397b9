"""The queue of encodings as the API and the worker see it: the Protocol and its vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from shared.contract.keys import EmbeddingKey


class JobStatus(StrEnum):
    """State of one encoding in the queue."""

    ABSENT = "absent"  # never submitted, finished and forgotten, failed and forgotten, or lost
    QUEUED = "queued"
    ENCODING = "encoding"
    DONE = "done"  # finished a moment ago; the embedding was stored before this was said
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class JobState:
    """What the queue knows of one encoding.

    Attributes:
        status: see `JobStatus`.
        position: encodings before this one, 0 is next; None unless queued (or when it just left the queue).
        error_code: stable code of the recorded failure, None unless failed.
        error_detail: its sentence.
    """

    status: JobStatus
    position: int | None = None
    error_code: str | None = None
    error_detail: str | None = None


ABSENT = JobState(JobStatus.ABSENT)


class EncodeQueue(Protocol):
    """Encodings waiting for a worker, one job per embedding key. Any method may raise `StoreUnavailable`."""

    def submit(self, key: EmbeddingKey) -> bool:
        """Ask for the encoding; atomic and idempotent: while a job for `key` is known, nothing is added.

        Returns:
            True if this call added the job, False if it joined one (queued, encoding, done or failed).

        Raises:
            Overloaded: as many encodings as allowed are waiting.
        """
        ...

    def state(self, key: EmbeddingKey) -> JobState: ...

    def forget(self, key: EmbeddingKey) -> None:
        """Drop the job, whether waiting, done or failed. A running one finishes unseen."""
        ...

    def ping(self) -> None:
        """Return if the queue answers, and keeps what it is given.

        Raises:
            ConfigurationError: it may evict jobs.
        """
        ...
