"""Everything jobs as clients see them: asked for, followed, read, stopped. A mask worker runs them."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from prompt_api.everything.grid import crop_boxes
from prompt_api.everything.job.key import EverythingKey, asked_key, jobs_key, parse_job_name
from prompt_api.everything.job.queue import EverythingQueue
from prompt_api.everything.job.stored import StoredMasks, unpack_masks
from prompt_api.everything.options import EverythingOptions
from prompt_api.service.images import Charge, ImageService, free
from prompt_api.service.live_workers import LiveWorkers
from prompt_api.service.watching import changes, once_settled
from shared.contract.errors import DamagedEmbedding, EverythingFailed, JobNotFound, RequestError, SamCacheError
from shared.contract.geometry import Size
from shared.contract.models import Model
from shared.contract.settings import Settings
from shared.events.interface import Events
from shared.queue.interface import JobStatus
from shared.store.interface import StoreWithSets

_log = logging.getLogger(__name__)

_UNKNOWN = "no such everything job of this image is known: ask for it with POST"


class EverythingStatus(StrEnum):
    """Where a job is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class EverythingState:
    """A job as seen by clients.

    Attributes:
        original: (height, width) of the EXIF-oriented original.
        progress: the part of the points that is done, 0 to 1.
        found: masks so far, or in all.
        queue_position: how many jobs come before this one; None if it is not queued or this is not known.
        error: the recorded failure, if the status is `FAILED`.
        workers: the model's mask workers that are alive, if the job waits for one; None if not, or if it is not known.
        masks: all masks of a job that is done, or those so far of one that runs; None if there are none yet.
    """

    key: EverythingKey
    status: EverythingStatus
    original: Size
    progress: float = 0.0
    found: int = 0
    queue_position: int | None = None
    error: SamCacheError | None = None
    workers: int | None = None
    masks: StoredMasks | None = field(default=None, compare=False)

    @property
    def settled(self) -> bool:
        return self.status not in (EverythingStatus.QUEUED, EverythingStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is remembered of a job that somebody asked for."""

    key: EverythingKey
    stopped: bool


class EverythingService:
    """All that a client can do with everything jobs."""

    def __init__(
        self,
        *,
        images: ImageService,
        store: StoreWithSets,
        queue: EverythingQueue,
        events: Events,
        settings: Settings,
        workers: LiveWorkers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._images = images
        self._store = store
        self._queue = queue
        self._events = events
        self._workers = workers
        self._clock = clock
        self._ttl = settings.everything_ttl + settings.image_ttl

    def ask(
        self,
        image_id: str,
        model: Model,
        options: EverythingOptions,
        *,
        namespace: str = "",
        charge: Charge = free,
    ) -> EverythingState:
        """Queue the job unless its masks are there, or join it. A job that failed or was stopped is tried again.

        Args:
            namespace: the job goes on until every namespace that asked for it has stopped it.
            charge: called before a crop is queued as a region.

        Raises:
            ImageNotFound: the image was never uploaded, or was deleted or forgotten.
            ImageExpired: its embedding and its bytes are gone.
            InvalidParameter: the image is too small for so many layers of crops.
            EncodeFailed, InvalidImage, UnsupportedImage, ImageTooLarge: the recorded reason why it is not encoded.
            Overloaded: the queue is full. Nothing is queued.
            RateLimited: `charge` raised it.
            StoreUnavailable: nothing was acknowledged; asking again is safe.
        """
        original = self._images.known_size(image_id)
        parts = [self._images.key(image_id, model, box) for box in crop_boxes(options, original)]
        key = EverythingKey.of(image_id, model, options)
        self._store.add_member(jobs_key(image_id), key.name, self._ttl)
        self._store.add_member(key.askers_key, namespace, self._ttl)
        self._remember(_Asked(key, stopped=False))
        done = self._done(key, original)
        if done is not None:
            return done
        for image in self._images.ask_all(parts, 0.0, charge=charge):  # has encoded what is not
            if image.error is not None:
                raise image.error
        if not self._queue.submit(key) and self._queue.state(key).status is JobStatus.FAILED:
            self._queue.forget(key)
            self._queue.submit(key)
        return self._state(key, original)

    def state(self, image_id: str, name: str) -> EverythingState:
        """Return the state of a job. One that the queue lost is queued again.

        Raises:
            ImageNotFound: the image is not known.
            JobNotFound: the job is not known.
            StoreUnavailable: Redis does not answer.
        """
        original = self._images.known_size(image_id)
        return self._state(self._asked(image_id, name).key, original)

    def wait(self, image_id: str, name: str, seconds: float) -> EverythingState:
        """Return `state` as soon as it is settled, or after `seconds`."""
        if seconds <= 0:
            return self.state(image_id, name)
        self._images.known_size(image_id)
        key = self._asked(image_id, name).key
        return once_settled(self._events, key, lambda: self.state(image_id, name), seconds, self._clock)

    def follow(self, image_id: str, name: str, seconds: float) -> Iterator[EverythingState | None]:
        """Yield the current `state`, then each change; see `changes`."""
        return changes(self._events, lambda: self.state(image_id, name), seconds, self._clock)

    def stop(self, image_id: str, name: str, *, namespace: str = "") -> None:
        """Stop the job, and delete its masks, unless another namespace asked for it too.

        Raises:
            ImageNotFound: the image is not known.
            JobNotFound: the job is not known.
            StoreUnavailable: Redis does not answer.
        """
        self._images.known_size(image_id)
        key = self._asked(image_id, name).key
        if self._store.remove_member(key.askers_key, namespace) > 0:
            return
        self._remember(_Asked(key, stopped=True))
        self._drop(key)
        self._events.publish(key, "stopped")

    def forget(self, image_id: str) -> None:
        """Stop all jobs of a deleted image, and delete their masks.

        Raises:
            StoreUnavailable: Redis does not answer. Jobs that are left find that their image is gone, and end.
        """
        for name in self._store.members(jobs_key(image_id)):
            try:
                key = self._asked(image_id, name).key
            except JobNotFound:
                continue
            self._drop(key)
            self._store.delete(key.asked_key)
            self._store.delete(key.askers_key)
            self._events.publish(key, "stopped")
        self._store.delete(jobs_key(image_id))

    def _drop(self, key: EverythingKey) -> None:
        # The job is forgotten first: a worker that stores masks and then finds no job deletes them.
        self._queue.forget(key)
        self._store.delete(key.progress_key)
        self._store.delete(key.result_key)

    def _state(self, key: EverythingKey, original: Size) -> EverythingState:
        done = self._done(key, original)
        if done is not None:
            return done
        job, workers = self._queue.state(key), self._workers.alive(key.queue)
        match job.status:
            case JobStatus.QUEUED:
                return EverythingState(
                    key, EverythingStatus.QUEUED, original, queue_position=job.position, workers=workers
                )
            case JobStatus.ENCODING:
                so_far = self._stored(key, key.progress_key)
                if so_far is None:
                    return EverythingState(key, EverythingStatus.RUNNING, original)
                progress = round(so_far.done / so_far.total, 4)
                return EverythingState(key, EverythingStatus.RUNNING, original, progress, so_far.count, masks=so_far)
            case JobStatus.FAILED:
                return EverythingState(key, EverythingStatus.FAILED, original, error=job.error(EverythingFailed))
        # Finished or absent: the masks came after we looked, or were lost.
        done = self._done(key, original)
        if done is not None:
            return done
        if job.status is JobStatus.ABSENT:
            if self._asked(key.image_id, key.name).stopped:
                return EverythingState(key, EverythingStatus.STOPPED, original)
            if self._queue.submit(key):
                _log.info("image %s: its everything job was lost: queued again", key.image_id[:12])
        return EverythingState(key, EverythingStatus.QUEUED, original, workers=workers)

    def _done(self, key: EverythingKey, original: Size) -> EverythingState | None:
        found = self._stored(key, key.result_key)
        if found is None:
            return None
        return EverythingState(key, EverythingStatus.DONE, original, 1.0, found.count, masks=found)

    def _stored(self, key: EverythingKey, where: str) -> StoredMasks | None:
        """Return the masks under `where`. Damaged ones are deleted and count as absent, so the job runs again."""
        value = self._store.get(where)
        if value is None:
            return None
        try:
            return unpack_masks(key, value)
        except DamagedEmbedding as error:
            _log.error("dropped the masks of image %s: %s", key.image_id[:12], error.detail)
            self._store.delete(where)
            return None

    def _remember(self, asked: _Asked) -> None:
        record = json.dumps({"arguments": asked.key.job_arguments, "stopped": asked.stopped}).encode()
        self._store.put(asked.key.asked_key, record, self._ttl)

    def _asked(self, image_id: str, name: str) -> _Asked:
        """Return what was asked for.

        Raises:
            JobNotFound: nobody asked for it, or it was forgotten.
        """
        raw = self._store.get(asked_key(image_id, parse_job_name(name)))
        if raw is None:
            raise JobNotFound(_UNKNOWN)
        try:
            record = json.loads(raw)
            asked = _Asked(EverythingKey.of_job(record["arguments"]), record["stopped"] is True)
        except (ValueError, LookupError, TypeError, RecursionError, EverythingFailed, RequestError):
            asked = None
        if asked is None or (asked.key.image_id, asked.key.name) != (image_id, name):
            _log.warning("what was asked of image %s is damaged", image_id[:12])
            raise JobNotFound(_UNKNOWN)
        return asked
