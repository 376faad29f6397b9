"""Queues inside one process. They behave like the queues on RQ, but run one step at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from shared.contract.errors import EncodeFailed, Overloaded, RequestError, SamCacheError
from shared.contract.job_key import JobKey
from shared.contract.keys import EmbeddingKey
from shared.queue.interface import ABSENT, JobState, JobStatus

K = TypeVar("K", bound=JobKey)


class MemoryJobQueue(Generic[K]):
    """A `JobQueue` whose worker is the test: `run_next` does one job.

    Attributes:
        workers: the number of workers that are alive, by the name of their queue.
    """

    def __init__(self, *, max_queued: int = 1_000, retries: int = 2) -> None:
        self.workers: dict[str, int] = {}
        self._max_queued = max_queued
        self._retries = retries
        self._lock = threading.Lock()
        self._waiting: list[K] = []
        self._states: dict[K, JobState] = {}
        self._retries_left: dict[K, int] = {}

    def submit(self, key: K) -> bool:
        with self._lock:
            if key in self._states:
                return False
            if sum(waiting.queue == key.queue for waiting in self._waiting) >= self._max_queued:
                raise Overloaded(f"{self._max_queued} encodings are waiting", retry_after=1)
            self._states[key] = JobState(JobStatus.QUEUED)
            self._retries_left[key] = self._retries
            self._waiting.append(key)
            return True

    def state(self, key: K) -> JobState:
        with self._lock:
            state = self._states.get(key, ABSENT)
            if state.status is not JobStatus.QUEUED:
                return state
            return JobState(JobStatus.QUEUED, position=[w for w in self._waiting if w.queue == key.queue].index(key))

    def forget(self, key: K) -> None:
        with self._lock:
            self._states.pop(key, None)
            if key in self._waiting:
                self._waiting.remove(key)

    def forget_all(self, keys: Sequence[K]) -> None:
        for key in keys:
            self.forget(key)

    @property
    def waiting(self) -> list[K]:
        """The keys of the jobs that wait, the next first."""
        with self._lock:
            return list(self._waiting)

    def workers_alive(self, queue: str) -> int:
        return self.workers.get(queue, 0)

    def ping(self) -> None:
        return None

    def run_next(self, encode: Callable[[K], None]) -> None:
        """Take the first waiting encoding and run `encode` on it, as a worker would.

        A `RequestError` fails the job for good. Any other error puts the job back until its retries are used up.

        Raises:
            IndexError: nothing is waiting.
        """
        with self._lock:
            key = self._waiting.pop(0)
            self._states[key] = JobState(JobStatus.ENCODING)
        try:
            encode(key)
        except Exception as error:  # a worker survives any error of its encoder
            self._failed(key, error)
        else:
            self._finished(key, JobState(JobStatus.DONE))

    def _failed(self, key: K, error: Exception) -> None:
        if not isinstance(error, RequestError) and self._retries_left[key] > 0:
            with self._lock:
                self._retries_left[key] -= 1
                if key in self._states:
                    self._states[key] = JobState(JobStatus.QUEUED)
                    self._waiting.insert(0, key)
            return
        known = error if isinstance(error, SamCacheError) else EncodeFailed("the encoder failed unexpectedly")
        self._finished(key, JobState(JobStatus.FAILED, error_code=known.code, error_detail=known.detail))

    def _finished(self, key: K, state: JobState) -> None:
        with self._lock:
            if key in self._states:
                self._states[key] = state


class MemoryEncodeQueue(MemoryJobQueue[EmbeddingKey]):
    """An `EncodeQueue` whose worker is the test."""
