"""The one RQ job there is: bound to the loaded encoder, closed to every other function, its failure typed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import redis
from redis.client import Pipeline
from rq import Queue
from rq.exceptions import DeserializationError
from rq.job import Job

from encoder_worker.rq.watchdog import JobTimedOut
from shared import log_context
from shared.errors import EncodeFailed, RequestError, SamCacheError, StoreUnavailable
from shared.events import message_of
from shared.job_origin import JobOrigin
from shared.keys import ENCODE_FUNCTION, EVENTS, EmbeddingKey, parse_image_id
from shared.rq_queue import ERROR

_log = logging.getLogger(__name__)

Encode = Callable[[EmbeddingKey], None]

_DIED = EncodeFailed("the worker died, or was ended after the time-out, at each attempt to encode this image")


def encode_image(encode: Encode, image_id: str, model: str, weights_digest: str, preprocessing: str) -> None:
    """What `ENCODE_FUNCTION` names. The last four are the job's arguments; the worker adds the first.

    Raises:
        ImageNotFound: `image_id` is no image id. Else what `encode` raises.
    """
    encode(EmbeddingKey(parse_image_id(image_id), model, weights_digest, preprocessing))


class EncodeJob(Job):
    """A job as the worker sees it.

    RQ imports and calls whatever dotted name it finds in Redis: function, callbacks, webhooks. Here a name
    is compared, never imported, and callbacks do not exist.

    Attributes:
        encode: the use case, set by the worker before it performs the job.
        failure: why the last attempt failed, as far as this process knows.
    """

    encode: Encode | None = None
    failure: SamCacheError | None = None

    @property
    def func(self) -> Callable[..., None]:
        if self.func_name != ENCODE_FUNCTION or self.instance is not None or self.encode is None:
            raise EncodeFailed("the job asks for a function that this worker does not run")
        return partial(encode_image, self.encode)

    @property
    def embedding_key(self) -> EmbeddingKey | None:
        """What the job is to encode; None for a job of foreign making, for which nobody waits."""
        try:
            return EmbeddingKey(*self.args)
        except (DeserializationError, TypeError):
            return None

    @property
    def asked_for_by(self) -> JobOrigin:
        return JobOrigin.of(self.meta)

    @property
    def log_fields(self) -> dict[str, str]:
        """What its lines of log say beside their message, see `shared.log_context`."""
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

    def record_failure(self, error: BaseException | None) -> None:
        """Note why this attempt failed. What the caller must mend is not tried again."""
        if isinstance(error, SamCacheError):
            self.failure = error
        elif isinstance(error, redis.RedisError):
            self.failure = StoreUnavailable("the queue was out of reach when the encoding ended")
        elif isinstance(error, JobTimedOut):
            self.failure = EncodeFailed("the encoding took longer than its time limit")
        elif isinstance(error, SystemExit):
            self.failure = EncodeFailed("the worker was told to stop at once")
            self.retries_left = (self.retries_left or 0) + 1  # what `retry` takes: it is no fault of the image
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
        # RQ calls this for the last attempt alone, also on behalf of a worker that died.
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
