"""The life of an image, from its uploaded bytes to its embedding, until it is deleted."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from prompt_api.access.owners import UNKNOWN, Owners
from prompt_api.metrics.counting import ApiMetrics, Taken
from prompt_api.service.live_workers import LiveWorkers
from shared.contract import errors
from shared.contract.geometry import Size, is_image_size
from shared.contract.keys import EmbeddingKey, image_key, preview_key, record_key
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.events.interface import Events
from shared.images.preview import wants_preview
from shared.images.reading import inspect_image
from shared.queue.interface import SHORT_FAILURE_TTL, EncodeQueue, JobState, JobStatus
from shared.redis import allowance
from shared.store.interface import Store

POLL = 1.0
"""Seconds after which a waiting request looks again by itself. A lost wake-up costs at most this."""

_log = logging.getLogger(__name__)


class ImageStatus(StrEnum):
    """Where an image is on its way to an embedding, for one model."""

    QUEUED = "queued"
    ENCODING = "encoding"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ImageState:
    """An image as seen by clients, for one model.

    Attributes:
        original: (height, width) of the EXIF-oriented original.
        queue_position: how many encodings come before this one; None if the image is not queued or this is not known.
        error: the recorded failure, if the status is `FAILED`.
        workers: the model's workers that are alive, if the image waits for one; None if not, or if it is not known.
    """

    key: EmbeddingKey
    status: ImageStatus
    original: Size
    queue_position: int | None = None
    error: errors.SamCacheError | None = None
    workers: int | None = None

    @property
    def settled(self) -> bool:
        return self.status in (ImageStatus.READY, ImageStatus.FAILED)

    @property
    def pending(self) -> str:
        """What a client is told that needs the embedding before it is there."""
        if self.workers == 0:
            return f"the image is not encoded yet, and no worker of {self.key.model} is alive"
        return "the image is not encoded yet"


class ImageService:
    """Everything that a client can do with an image, except prompting it."""

    def __init__(
        self,
        *,
        store: Store,
        queue: EncodeQueue,
        events: Events,
        owners: Owners,
        settings: Settings,
        metrics: ApiMetrics,
        workers: LiveWorkers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._queue = queue
        self._events = events
        self._owners = owners
        self._settings = settings
        self._metrics = metrics
        self._workers = workers
        self._clock = clock

    def upload(self, image_id: str, data: bytes, model: Model, *, namespace: str = "") -> ImageState:
        """Keep an image's bytes, and queue its encoding unless its embedding is there.

        If an earlier encoding of the same bytes failed, that failure is forgotten and the encoding is tried again,
        unless the bytes themselves were the reason.

        Args:
            image_id: lower-case hex SHA-256 of `data`.
            namespace: becomes an owner of the image. Other owners stay.

        Raises:
            UnsupportedImage, InvalidImage, ImageTooLarge: the bytes are not an image that this service accepts.
            Overloaded: the queue is full. Nothing is queued.
            StoreUnavailable: nothing was acknowledged; uploading again is safe.
        """
        info = inspect_image(data, max_pixels=self._settings.max_image_pixels)
        key = EmbeddingKey.of(image_id, model)
        self._store.put(image_key(image_id), data, self._settings.image_ttl)
        self._write_record(image_id, info.original, has_preview=wants_preview(data))
        self._owners.add(image_id, namespace)
        if self._store.exists(key.redis_key):
            self._metrics.taken(Taken.READY, len(data))
            return ImageState(key, ImageStatus.READY, info.original)
        queued = self._queue.submit(key)
        if not queued:
            state = self._queue.state(key)
            if state.status is JobStatus.FAILED and not _is_permanent(state):
                self._queue.forget(key)
                queued = self._queue.submit(key)
        self._metrics.taken(Taken.QUEUED if queued else Taken.JOINED, len(data))
        return self._from_queue(key, info.original)

    def state(self, image_id: str, model: Model) -> ImageState:
        """Return the state of the image. If its embedding was lost, queue its encoding again from the kept bytes.

        Raises:
            ImageNotFound: the image was never uploaded, or was deleted or forgotten.
            ImageExpired: its embedding and its bytes are gone.
        """
        original = self._read_record(image_id)
        key = EmbeddingKey.of(image_id, model)
        if self._store.exists(key.redis_key):
            return ImageState(key, ImageStatus.READY, original)
        return self._from_queue(key, original)

    def preview(self, image_id: str, model: Model) -> bytes:
        """Return a JPEG of an image that not every browser shows. A worker makes it when it encodes the image.

        Raises:
            ImageNotFound: the image was never uploaded, or was deleted or forgotten, or every browser shows it.
            ImageExpired: its preview and its bytes are gone.
            EmbeddingPending: the image is not encoded yet.
            EncodeFailed, InvalidImage, UnsupportedImage, ImageTooLarge: the recorded reason why it cannot be.
        """
        original, has_preview = self._read_whole_record(image_id)
        if not has_preview:
            raise errors.ImageNotFound("this image has no preview, because browsers show the file itself")
        found = self._store.get(preview_key(image_id))
        if found is not None:
            return found
        key = EmbeddingKey.of(image_id, model)
        if self._store.exists(key.redis_key) and self._store.exists(image_key(image_id)):
            # The preview alone was evicted. A worker makes both again.
            self._store.delete(key.redis_key)
        state = self._from_queue(key, original)
        if state.error is not None:
            raise state.error
        raise errors.EmbeddingPending("the image is not encoded yet", retry_after=1)

    def wait(self, image_id: str, model: Model, seconds: float) -> ImageState:
        """Return `state` as soon as it is settled, or after `seconds`."""
        if seconds <= 0:
            return self.state(image_id, model)
        deadline = self._clock() + seconds
        with self._events.watch(EmbeddingKey.of(image_id, model)) as watch:
            while not (state := self.state(image_id, model)).settled:
                left = deadline - self._clock()
                if left <= 0:
                    break
                watch.wait(min(left, POLL))
                allowance.renew()
        return state

    def follow(self, image_id: str, model: Model, seconds: float) -> Iterator[ImageState | None]:
        """Yield the current `state`, then each change, until it is settled or `seconds` have passed.

        About once a second without a change, yield None, so that the sender can notice that its client is gone.
        """
        deadline = self._clock() + seconds
        state = self.state(image_id, model)
        with self._events.watch(state.key) as watch:
            yield state
            while not state.settled and (left := deadline - self._clock()) > 0:
                watch.wait(min(left, POLL))
                allowance.renew()
                before, state = state, self.state(image_id, model)
                yield state if state != before else None

    def delete(self, image_id: str, models: tuple[Model, ...], *, namespace: str = "") -> bool:
        """Take the image from `namespace`. If no owner is left, delete its bytes, embeddings and jobs, here and on
        every replica.

        An upload of the same bytes at the same moment may lose them too. Its client then gets `ImageNotFound` or
        `ImageExpired`, never a wrong answer.

        Returns:
            True if the image is gone, False if others still have it.

        Raises:
            ImageNotFound: the image is not known.
        """
        keys = [EmbeddingKey.of(image_id, model) for model in models]
        if self._owners.release(image_id, namespace):
            self._events.publish(keys[0], "released")
            return False
        # The record is deleted first: a worker that stores an embedding and then finds no record deletes the embedding.
        known = self._store.delete(record_key(image_id))
        for key in keys:
            self._queue.forget(key)
            self._store.delete(key.redis_key)
        self._store.delete(image_key(image_id))
        self._store.delete(preview_key(image_id))
        self._owners.remove(image_id, namespace)
        for key in keys:
            self._events.publish(key, "deleted")
        if not known:
            raise errors.ImageNotFound(UNKNOWN)
        return True

    def _from_queue(self, key: EmbeddingKey, original: Size) -> ImageState:
        """Return the state of an image that had no embedding a moment ago."""
        job, workers = self._queue.state(key), self._workers.alive(key.queue)
        match job.status:
            case JobStatus.QUEUED:
                return ImageState(key, ImageStatus.QUEUED, original, job.position, workers=workers)
            case JobStatus.ENCODING:
                return ImageState(key, ImageStatus.ENCODING, original, workers=workers)
            case JobStatus.FAILED if job.error_code == errors.ImageExpired.code:
                raise errors.ImageExpired("the image's bytes were gone before it was encoded; upload it again")
            case JobStatus.FAILED:
                return ImageState(key, ImageStatus.FAILED, original, error=_failure(job))
        # Done or absent: the embedding came after we looked, or was lost.
        if self._store.exists(key.redis_key):
            return ImageState(key, ImageStatus.READY, original)
        if not self._store.exists(image_key(key.image_id)):
            raise errors.ImageExpired("the image's bytes are no longer kept; upload it again")
        if job.status is JobStatus.ABSENT and self._queue.submit(key):
            _log.info("image %s has no %s embedding (any more): encoding it again", key.image_id[:12], key.model)
            self._metrics.lost()
        return ImageState(key, ImageStatus.QUEUED, original, workers=workers)

    def _write_record(self, image_id: str, original: Size, *, has_preview: bool) -> None:
        height, width = original
        record = json.dumps({"width": width, "height": height, "preview": has_preview}).encode()
        self._store.put(record_key(image_id), record, record_ttl(self._settings))

    def original(self, image_id: str) -> Size:
        """Return the (height, width) of the EXIF-oriented original.

        Raises:
            ImageNotFound: the image was never uploaded, or was deleted or forgotten.
        """
        return self._read_record(image_id)

    def _read_record(self, image_id: str) -> Size:
        return self._read_whole_record(image_id)[0]

    def _read_whole_record(self, image_id: str) -> tuple[Size, bool]:
        """Return (height, width), and whether a worker makes a preview of the image."""
        raw = self._store.get(record_key(image_id))
        if raw is None:
            raise errors.ImageNotFound(UNKNOWN)
        try:
            record = json.loads(raw)
        except (ValueError, RecursionError):
            record = None
        match record:
            case {"height": int(height), "width": int(width)} if is_image_size(
                height, width, self._settings.max_image_pixels
            ):
                return (height, width), record.get("preview") is True
        _log.warning("the record of image %s is damaged", image_id[:12])
        raise errors.ImageNotFound(UNKNOWN)


def record_ttl(settings: Settings) -> int:
    """Return the seconds for which the records of an image and of its owners are kept.

    The records outlive the bytes and the embedding, so that "expired" can be told from "never seen".
    """
    return max(settings.image_ttl, settings.embedding_ttl) + 7 * 86_400


_FAILURES: dict[str, type[errors.SamCacheError]] = {
    kind.code: kind
    for kind in (
        errors.InvalidImage,
        errors.UnsupportedImage,
        errors.ImageTooLarge,
        errors.EncodeFailed,
        errors.Overloaded,
    )
}


def _is_permanent(job: JobState) -> bool:
    return issubclass(_FAILURES.get(job.error_code or "", errors.EncodeFailed), errors.RequestError)


def _failure(job: JobState) -> errors.SamCacheError:
    kind = _FAILURES.get(job.error_code or "", errors.EncodeFailed)
    pause = SHORT_FAILURE_TTL if issubclass(kind, errors.Unavailable) else None
    return kind(job.error_detail or "the image could not be encoded", retry_after=pause)
