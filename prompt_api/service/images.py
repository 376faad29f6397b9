"""The life of an image and of its regions, from its uploaded bytes to its embeddings, until it is deleted."""

from __future__ import annotations

import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock

from prompt_api.access.owners import UNKNOWN, Owners
from prompt_api.metrics.counting import ApiMetrics, Taken
from prompt_api.service.image_regions import ImageRegions
from prompt_api.service.lattice import Box, region_around
from prompt_api.service.live_workers import LiveWorkers
from prompt_api.service.watching import changes, once_settled
from shared.contract import errors
from shared.contract.geometry import Size, is_image_size
from shared.contract.keys import EmbeddingKey, image_key, preview_key, record_key, regions_key
from shared.contract.models import Model
from shared.contract.region import Corners, region_in
from shared.contract.settings import Settings
from shared.events.interface import Events
from shared.images.preview import wants_preview
from shared.images.reading import inspect_image
from shared.queue.interface import EncodeQueue, JobState, JobStatus
from shared.store.interface import StoreWithSets

SIZES = 10_000
"""Images whose sizes one process remembers."""

Charge = Callable[[], None]
"""Called before a region that nobody waits for is queued. It may raise `RateLimited`; then nothing is queued."""

_log = logging.getLogger(__name__)


def free() -> None:
    """A `Charge` that charges nothing."""


class ImageStatus(StrEnum):
    """Where an image or a region is on its way to an embedding, for one model."""

    QUEUED = "queued"
    ENCODING = "encoding"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ImageState:
    """An image as seen by clients, for one model, or a region of it if the key has one.

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
        what = "image" if self.key.region is None else "region"
        if self.workers == 0:
            return f"the {what} is not encoded yet, and no worker of {self.key.model} is alive"
        return f"the {what} is not encoded yet"


class ImageService:
    """Everything that a client can do with an image, except prompting it."""

    def __init__(
        self,
        *,
        store: StoreWithSets,
        queue: EncodeQueue,
        events: Events,
        owners: Owners,
        settings: Settings,
        metrics: ApiMetrics,
        workers: LiveWorkers,
        models: Sequence[Model] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        models: the served models. A region that makes way is dropped for all of them.
        """
        self._store = store
        self._queue = queue
        self._events = events
        self._owners = owners
        self._settings = settings
        self._metrics = metrics
        self._workers = workers
        self._models = tuple(models)
        self._clock = clock
        self._regions = ImageRegions(rows=store, most=settings.max_regions, ttl=record_ttl(settings))
        self._sizes: OrderedDict[str, Size] = OrderedDict()
        self._sizes_lock = Lock()

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

    def original(self, image_id: str) -> Size:
        """Return the (height, width) of the image. A process asks the store once, because an id has one image.

        Raises:
            ImageNotFound: the image was never uploaded, or was deleted or forgotten. It may also be told by what comes
                next, if this process knows the size from before.
        """
        with self._sizes_lock:
            known = self._sizes.get(image_id)
            if known is not None:
                self._sizes.move_to_end(image_id)
                return known
        original = self._read_record(image_id)
        with self._sizes_lock:
            self._sizes[image_id] = original
            while len(self._sizes) > SIZES:
                self._sizes.popitem(last=False)
        return original

    def key(self, image_id: str, model: Model, corners: Corners | None = None) -> EmbeddingKey:
        """Return the key of an image's embedding, or of that of a part of it.

        Args:
            corners: of the part; None, or those of the whole image, for the whole image.

        Raises:
            InvalidParameter: the image has no such region.
            ImageNotFound: the image is not known, so it has no regions.
        """
        if corners is None:
            return EmbeddingKey.of(image_id, model)
        return EmbeddingKey.of(image_id, model, region_in(corners, self.original(image_id)))

    def around(self, image_id: str, box: Box) -> Corners | None:
        """Return the corners of the region that suits an object with this box; None if the whole image suits better.

        Raises:
            InvalidParameter: the box lies outside the image.
            ImageNotFound: the image is not known.
        """
        height, width = original = self.original(image_id)
        x0, y0, x1, y1 = box
        if not (x0 < width and y0 < height and x1 > 0 and y1 > 0):
            raise errors.InvalidParameter(
                f"the box [{x0:g}, {y0:g}, {x1:g}, {y1:g}] lies outside the {width}x{height} image",
                width=width,
                height=height,
            )
        region = region_around([box], original)
        return None if region is None else region.corners

    def state(self, key: EmbeddingKey, *, charge: Charge = free) -> ImageState:
        """Return the state of the image or region. If its embedding is not there, queue its encoding from the kept
        bytes: it was lost, or nobody has asked for this region yet.

        Args:
            charge: called before a region is queued.

        Raises:
            ImageNotFound: the image was never uploaded, or was deleted or forgotten.
            ImageExpired: its embedding and its bytes are gone.
            RateLimited: `charge` raised it.
        """
        original = self._read_record(key.image_id)
        if self._store.exists(key.redis_key):
            return ImageState(key, ImageStatus.READY, original)
        return self._from_queue(key, original, charge)

    def ask(self, key: EmbeddingKey, *, charge: Charge = free) -> ImageState:
        """Return `state`, and encode a region again that the workers have failed at, as another upload does."""
        state = self.state(key, charge=charge)
        if isinstance(state.error, errors.EncodeFailed | errors.Unavailable):
            self._queue.forget(key)
            state = self.state(key, charge=charge)
        if key.region is not None and state.status is ImageStatus.READY:
            self._note(key)
        return state

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

    def wait(self, key: EmbeddingKey, seconds: float, *, charge: Charge = free) -> ImageState:
        """Return `state` as soon as it is settled, or after `seconds`."""
        if seconds <= 0:
            return self.state(key, charge=charge)
        return once_settled(self._events, key, lambda: self.state(key, charge=charge), seconds, self._clock)

    def begin(self, key: EmbeddingKey, original: Size, *, charge: Charge = free) -> ImageState:
        """Return the state of a region whose embedding was not there a moment ago, and queue it if nobody has.

        The image is known, so this takes fewer looks than `state`. It raises what `state` raises.

        Args:
            original: (height, width) of the image.
        """
        return self._from_queue(key, original, charge)

    def ask_all(self, keys: Sequence[EmbeddingKey], seconds: float, *, charge: Charge = free) -> list[ImageState]:
        """Return `ask` for each key, as soon as all are settled, or after `seconds`.

        Raises:
            InvalidParameter: these are more regions than are kept of an image.
        """
        if len({key.region for key in keys}) > self._settings.max_regions:
            raise errors.InvalidParameter(f"at most {self._settings.max_regions} regions of an image are kept")
        deadline = self._clock() + seconds
        states = {key: self.ask(key, charge=charge) for key in dict.fromkeys(keys)}
        for key, state in states.items():
            left = deadline - self._clock()
            if not state.settled and left > 0:
                states[key] = self.wait(key, left, charge=charge)
        return [states[key] for key in keys]

    def follow(self, key: EmbeddingKey, seconds: float, *, charge: Charge = free) -> Iterator[ImageState | None]:
        """Yield the current `state`, then each change; see `changes`."""
        return changes(self._events, lambda: self.state(key, charge=charge), seconds, self._clock)

    def delete(self, image_id: str, models: tuple[Model, ...], *, namespace: str = "") -> bool:
        """Take the image from `namespace`. If no owner is left, delete its bytes, embeddings and jobs, those of its
        regions too, here and on every replica.

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
        parts = [EmbeddingKey.of(image_id, model, region) for region in self._regions.of(image_id) for model in models]
        self._drop([*keys, *parts])
        self._store.delete_together([image_key(image_id), preview_key(image_id), regions_key(image_id)])
        self._owners.remove(image_id, namespace)
        for key in keys:
            self._events.publish(key, "deleted")  # wakes those who wait for a region too
        if not known:
            raise errors.ImageNotFound(UNKNOWN)
        return True

    def _from_queue(self, key: EmbeddingKey, original: Size, charge: Charge = free) -> ImageState:
        """Return the state of an image or region that had no embedding a moment ago."""
        job, workers = self._queue.state(key), self._workers.alive(key.queue)
        match job.status:
            case JobStatus.QUEUED:
                return ImageState(key, ImageStatus.QUEUED, original, job.position, workers=workers)
            case JobStatus.ENCODING:
                return ImageState(key, ImageStatus.ENCODING, original, workers=workers)
            case JobStatus.FAILED if job.error_code == errors.ImageExpired.code:
                raise errors.ImageExpired("the image's bytes were gone before it was encoded; upload it again")
            case JobStatus.FAILED:
                return ImageState(key, ImageStatus.FAILED, original, error=job.error(errors.EncodeFailed))
        # Done or absent: the embedding came after we looked, or was lost, or this region is new.
        if self._store.exists(key.redis_key):
            return ImageState(key, ImageStatus.READY, original)
        if not self._store.exists(image_key(key.image_id)):
            raise errors.ImageExpired("the image's bytes are no longer kept; upload it again")
        if job.status is JobStatus.ABSENT:
            self._submit(key, charge)
        return ImageState(key, ImageStatus.QUEUED, original, workers=workers)

    def _submit(self, key: EmbeddingKey, charge: Charge) -> None:
        if key.region is not None:
            charge()
            self._note(key)
            self._queue.submit(key)
        elif self._queue.submit(key):
            _log.info("image %s has no %s embedding (any more): encoding it again", key.image_id[:12], key.model)
            self._metrics.lost()

    def _note(self, key: EmbeddingKey) -> None:
        """Note that the region of `key` was asked for, and drop those that must make way for it."""
        assert key.region is not None
        gone = self._regions.note(key.image_id, key.region)
        if gone:
            _log.info("image %s: %d regions make way for another", key.image_id[:12], len(gone))
            self._drop([EmbeddingKey.of(key.image_id, model, region) for region in gone for model in self._models])

    def _drop(self, keys: Sequence[EmbeddingKey]) -> None:
        """Delete the embeddings of one image, and the jobs that make them. Who still asks for one queues it again."""
        self._queue.forget_all(keys)
        self._store.delete_together([key.redis_key for key in keys])

    def _write_record(self, image_id: str, original: Size, *, has_preview: bool) -> None:
        height, width = original
        record = json.dumps({"width": width, "height": height, "preview": has_preview}).encode()
        self._store.put(record_key(image_id), record, record_ttl(self._settings))

    def known_size(self, image_id: str) -> Size:
        """Return the (height, width) of the image as `original` does, but from the store: the image is known now.

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


def _is_permanent(job: JobState) -> bool:
    found = job.error(errors.EncodeFailed)
    return isinstance(found, errors.InvalidImage | errors.UnsupportedImage | errors.ImageTooLarge)
