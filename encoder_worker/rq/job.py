"""The one kind of job there is: a name and arguments to be read, and a typed failure."""

from __future__ import annotations

import logging
from typing import Any

import redis
from redis.client import Pipeline
from rq import Queue
from rq.exceptions import DeserializationError
from rq.job import Job

from encoder_worker.rq.watchdog import JobTimedOut
from shared.contract.errors import EncodeFailed, RequestError, SamCacheError, StoreUnavailable
from shared.contract.keys import ENCODE_JOB, EVENTS, EmbeddingKey
from shared.events.interface import message_of
from shared.observe import log_context
from shared.queue.job_origin import JobOrigin
from shared.queue.rq_queue import ERROR

_log = logging.getLogger(__name__)

_UNREADABLE = "the job cannot be read"
_DIED = EncodeFailed("the worker died, or was ended after the time-out, at each attempt to encode this image")


class EncodeJob(Job):
    """A job as the worker sees it.

    RQ imports and calls whatever dotted names it finds in Redis: a function, callbacks, webhooks. Here the name of the
    job is compared and nothing is imported: there is no function, and there are no callbacks.

    Attributes:
        failure: why the last attempt failed. None if it did not fail, or failed in another process.
    """

    failure: SamCacheError | None = None

    # What the job asks for.

    def requested_key(self) -> EmbeddingKey:
        """The embedding that the job asks for.

        Raises:
            EncodeFailed: it asks for something else, or cannot be read. No API of this service made it.
        """
        try:
            if self.func_name != ENCODE_JOB or self.instance is not None or self.kwargs:
                raise EncodeFailed("the job asks for a function that this worker does not run")
            return EmbeddingKey.of_job(self.args)
        except DeserializationError as error:
            raise EncodeFailed(_UNREADABLE) from error

    @property
    def embedding_key(self) -> EmbeddingKey | None:
        """As `requested_key`, but None where that refuses: nobody waits for such a job."""
        try:
            return self.requested_key()
        except EncodeFailed:
            return None

    @property
    def asked_for_by(self) -> JobOrigin:
        return JobOrigin.of(self.meta)

    @property
    def log_fields(self) -> dict[str, str]:
        """What the job's lines of log say beside their message, see `shared.observe.log_context`."""
        key, request_id = self.embedding_key, self.asked_for_by.request_id
        fields = (
            {"job_id": self.id} if key is None else {"job_id": self.id, "image_id": key.image_id, "model": key.model}
        )
        return {**fields, "request_id": request_id} if request_id else fields

    @property
    def subject(self) -> str:
        """For a message: the image, by the start of its id."""
        key = self.embedding_key
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
            self.failure = StoreUnavailable("the queue was out of reach when the encoding ended")
        elif isinstance(error, JobTimedOut):
            self.failure = EncodeFailed("the encoding took longer than its time limit")
        elif isinstance(error, SystemExit):
            self.failure = EncodeFailed("the worker was told to stop at once")
            self.retries_left = (self.retries_left or 0) + 1  # `retry` takes one: the image is not at fault
        elif isinstance(error, DeserializationError):
            self.failure = EncodeFailed(_UNREADABLE)
        else:
            self.failure = EncodeFailed(f"the encoder failed unexpectedly ({type(error).__name__})")
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
        error = self.failure or _DIED
        if self.failure is None:
            with log_context.scope(**self.log_fields):
                _log.error(
                    "%s failed, for good: %s: %s", self.subject, error.code, error.detail, extra={"code": error.code}
                )
        self.meta[ERROR] = {"code": error.code, "detail": error.detail}
        pipeline.hset(self.key, "meta", self._serialize_meta())
        key = self.embedding_key
        if key is not None:
            pipeline.publish(EVENTS, message_of(key, "failed"))
        super()._handle_failure(exc_string, pipeline, *args, **options)
