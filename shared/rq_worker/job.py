"""The jobs of this service: a name and arguments to be read, and a typed failure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, ClassVar, NoReturn, Self

import redis
from redis.client import Pipeline
from rq import Queue
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus

from shared.contract.errors import Overloaded, RequestError, SamCacheError, StoreUnavailable
from shared.contract.job_key import JobKey
from shared.contract.keys import EVENTS, damaged_job_key
from shared.events.interface import message_of
from shared.observe import log_context
from shared.queue.interface import SHORT_FAILURE_TTL
from shared.queue.job_origin import JobOrigin
from shared.queue.rq_queue import ERROR
from shared.rq_worker.watchdog import JobTimedOut

_log = logging.getLogger(__name__)

_UNREADABLE = "the job cannot be read"

_KEPT = 86_400
"""Seconds that a job which cannot be read is kept aside."""

_A_YEAR = 366 * 86_400
_BOUNDS = {
    "timeout": (1, _A_YEAR),
    "retries_left": (0, 1_000_000),
    "number_of_retries": (0, 1_000_000),
    "result_ttl": (-1, _A_YEAR),
    "failure_ttl": (-1, _A_YEAR),
    "ttl": (-1, 100 * _A_YEAR),
}
"""The least and the most of the numbers in a job."""


class ServiceJob(Job):
    """A job as the worker sees it. Each kind of job is a subclass.

    RQ imports and calls whatever dotted names it finds in Redis: a function, callbacks, webhooks. Here the name of the
    job is compared and nothing is imported: there is no function, and there are no callbacks.

    Attributes:
        name: of every job of this kind. It is only compared.
        failed: the error of a job whose own code failed.
        work: what the job does, as the subject of a message.
        died: what a client is told of a job that killed its worker at each attempt.
        failure: why the last attempt failed. None if it did not fail, or failed in another process.
        lease: of this attempt; None before this process has taken the job.
        begun_before: whether another attempt was begun before this one. If its worker died, this job may be why.
    """

    name: ClassVar[str]
    failed: ClassVar[type[SamCacheError]]
    work: ClassVar[str]
    died: ClassVar[str]
    failure: SamCacheError | None = None
    lease: Execution | None = None
    begun_before: bool = False
    _requested: JobKey | None = None

    @classmethod
    def key_of(cls, arguments: object) -> JobKey:
        """Return what a job with these arguments asks for.

        Raises:
            SamCacheError: of the class `failed`: the arguments make no sense.
        """
        raise NotImplementedError

    # How it is read.

    def refresh(self) -> None:
        """Read the job. RQ calls this wherever it takes a job from Redis.

        Raises:
            NoSuchJobError: there is no such job (any more), or it cannot be read and was set aside. RQ goes on with the
                next job after this error, and with no other.
        """
        self._read(super().refresh)

    def read(self, fields: Mapping[bytes, bytes]) -> None:
        """Read the job from the fields of its hash.

        Raises:
            NoSuchJobError: it cannot be read and was set aside.
        """
        self._read(lambda: self.restore(fields))

    def _read(self, restore: Callable[[], object]) -> None:
        self._requested = None
        try:
            restore()
            self._require_sense()
        except redis.RedisError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            self._set_aside(error)
        except Exception as error:  # RQ raises anything for fields that it did not write
            self._set_aside(error)

    def _require_sense(self) -> None:
        """Refuse what would break the worker later, and drop what this service never uses of RQ.

        Raises:
            ValueError: no API of this service wrote this job.
        """
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ValueError(f"{name} is {value}")
        if self._unreadable_meta is not None or not isinstance(self.meta, dict):
            self.meta, self._unreadable_meta = {}, None  # it names the request that asked, and is not needed
        self._dependency_ids: list[str] = []
        self.retry_intervals = self.group_id = self.rate_limit_key = self.rate_limit_concurrency = None
        self.repeats_left = self.repeat_intervals = None
        self.webhooks = []

    def _set_aside(self, error: Exception) -> NoReturn:
        """Move the job where RQ does not find it. It is kept a while for whoever wants to look at it.

        The queue then knows no such job, so the next look at its image queues it again.
        """
        with suppress(redis.ResponseError):  # there is no such key
            self.connection.rename(self.key, damaged_job_key(self.id))
            self.connection.expire(damaged_job_key(self.id), _KEPT)
            _log.error(
                "the job %s cannot be read and was set aside as %s: %s: %s",
                self.id,
                damaged_job_key(self.id),
                type(error).__name__,
                error,
                extra={"job_id": self.id},
            )
            self.count_damaged()
        raise NoSuchJobError(f"no job {self.id} that can be read") from error

    @classmethod
    def counted(cls, damaged: Callable[[], None]) -> type[Self]:
        """Return the class of one worker's jobs of this kind. `damaged` is called for each job that is set aside."""
        return type(cls.__name__, (cls,), {"count_damaged": staticmethod(damaged)})

    @staticmethod
    def count_damaged() -> None:
        """Called for each job that is set aside."""

    # How an attempt begins.

    def begin(self, lease: Execution, moment: datetime) -> None:
        """Know what is in Redis since this process took the job at `moment`: it is started, and has a lease."""
        self.lease = lease
        self.begun_before = self.started_at is not None
        self.started_at = self.last_heartbeat = moment
        self.worker_name = lease.worker_name
        self._status = JobStatus.STARTED

    # What the job asks for.

    def requested(self) -> JobKey:
        """What the job asks for.

        Raises:
            SamCacheError: of the class `failed`: it asks for something else, or cannot be read. No API of this service
                made it.
        """
        if self._requested is None:
            try:
                if self.func_name != self.name or self.instance is not None or self.kwargs:
                    raise self.failed("the job asks for a function that this worker does not run")
                self._requested = self.key_of(self.args)
            except DeserializationError as error:
                raise self.failed(_UNREADABLE) from error
        return self._requested

    @property
    def known_key(self) -> JobKey | None:
        """As `requested`, but None where that refuses: nobody waits for such a job."""
        try:
            return self.requested()
        except self.failed:
            return None

    @property
    def asked_for_by(self) -> JobOrigin:
        return JobOrigin.of(self.meta)

    @property
    def log_fields(self) -> dict[str, str]:
        """What the job's lines of log say beside their message, see `shared.observe.log_context`."""
        key, request_id = self.known_key, self.asked_for_by.request_id
        fields = (
            {"job_id": self.id} if key is None else {"job_id": self.id, "image_id": key.image_id, "model": key.model}
        )
        return {**fields, "request_id": request_id} if request_id else fields

    @property
    def subject(self) -> str:
        """For a message: the image, by the start of its id."""
        key = self.known_key
        return f"image {'?' if key is None else key.image_id[:12]}"

    # What RQ would import and call.

    @property
    def func(self) -> None:
        """None: with it, RQ's own `perform` refuses to run the job."""

    @property
    def success_callback(self) -> None:
        return None

    @property
    def failure_callback(self) -> None:
        return None

    @property
    def stopped_callback(self) -> None:
        return None

    def send_webhooks(self, *_args: Any, **_options: Any) -> None:
        return None

    # How an attempt fails.

    def record_failure(self, error: BaseException | None) -> None:
        """Note why this attempt failed. What the uploader must mend is not tried again."""
        if isinstance(error, SamCacheError):
            self.failure = error
        elif isinstance(error, redis.RedisError):
            self.failure = StoreUnavailable(f"the queue was out of reach when {self.work} ended")
        elif isinstance(error, JobTimedOut):
            self.failure = self.failed(f"{self.work} took longer than its time limit")
        elif isinstance(error, SystemExit):
            self.failure = self.failed("the worker had to stop at once")
            self.retries_left = (self.retries_left or 0) + 1  # `retry` takes one: the image is not at fault
        elif isinstance(error, MemoryError):
            self.failure = Overloaded("a worker ran out of memory at this image")
            self.failure_ttl = min(self.failure_ttl or SHORT_FAILURE_TTL, SHORT_FAILURE_TTL)
        elif isinstance(error, DeserializationError):
            self.failure = self.failed(_UNREADABLE)
        else:
            self.failure = self.failed(f"{self.work} failed unexpectedly ({type(error).__name__})")
        if isinstance(error, RequestError):
            self.retries_left = 0

    def retry(self, queue: Queue, pipeline: Pipeline) -> None:
        # RQ calls this after an attempt that failed, and on behalf of a worker that died.
        super().retry(queue, pipeline)
        left = self.retries_left or 0
        with log_context.scope(**self.log_fields):
            if self.failure is None:
                _log.warning("%s: its worker died; back in the queue, %d retries left", self.subject, left)
            else:
                _log.info("%s: back in the queue, %d retries left", self.subject, left)

    def _handle_failure(self, exc_string: str, pipeline: Pipeline, *args: Any, **options: Any) -> None:
        # RQ calls this only after the last attempt, also on behalf of a worker that died.
        error = self.failure or self.failed(self.died)
        if self.failure is None:
            with log_context.scope(**self.log_fields):
                _log.error(
                    "%s failed, for good: %s: %s", self.subject, error.code, error.detail, extra={"code": error.code}
                )
        self.meta[ERROR] = {"code": error.code, "detail": error.detail}
        pipeline.hset(self.key, "meta", self._serialize_meta())
        key = self.known_key
        if key is not None:
            pipeline.publish(EVENTS, message_of(key, "failed"))
        super()._handle_failure(exc_string, pipeline, *args, **options)
