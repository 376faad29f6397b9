"""Gives a mask worker the embeddings that a job needs. It has missing ones made, and waits for them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.contract.errors import DamagedEmbedding, EmbeddingPending, EverythingFailed, ImageExpired, Overloaded
from shared.contract.keys import EmbeddingKey, image_key
from shared.contract.models import TensorSpec
from shared.events.interface import Events
from shared.queue.interface import EncodeQueue, JobStatus
from shared.store.interface import Store
from shared.tensors.embedding import StoredEmbedding, decode_embedding

_LOOK = 1.0
"""Seconds after which a waiting worker looks again by itself. A lost wake-up costs at most this."""

_log = logging.getLogger(__name__)


class Stopped(Exception):
    """The job was stopped while it waited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingsInTime:
    """Waits for embeddings, for at most `patience` seconds each.

    Attributes:
        specs: the tensors of the model.
        max_pixels: of the largest image that this service accepts.
        patience: seconds.
        stopped: returns whether the job was stopped.
    """

    store: Store
    queue: EncodeQueue
    events: Events
    specs: Sequence[TensorSpec]
    max_pixels: int
    patience: float
    stopped: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic

    def ask_for(self, keys: Sequence[EmbeddingKey]) -> None:
        """Have those made that are missing, so that encoders can begin with all of them at once.

        Raises:
            StoreUnavailable: Redis is out of reach.
        """
        for key in keys:
            if not self.store.exists(key.redis_key) and self.store.exists(image_key(key.image_id)):
                try:
                    self.queue.submit(key)
                except Overloaded:  # `get` asks again
                    return

    def get(self, key: EmbeddingKey) -> StoredEmbedding:
        """Return the embedding as soon as it is there.

        Raises:
            ImageExpired: the image's bytes are gone, so it cannot be made.
            EncodeFailed, InvalidImage, UnsupportedImage, ImageTooLarge, Overloaded: the recorded reason why it cannot.
            EmbeddingPending: it was not there in time. Another attempt would wait as long, so there is none.
            StoreUnavailable: Redis is out of reach.
            Stopped: the job was stopped.
        """
        deadline = self.clock() + self.patience
        with self.events.watch(key) as watch:
            while (found := self._look(key)) is None:
                if self.stopped():
                    raise Stopped
                left = deadline - self.clock()
                if left <= 0:
                    raise EmbeddingPending(
                        f"the image was not encoded within {self.patience:g} s, {_workers(self.queue, key)}"
                    )
                watch.wait(min(left, _LOOK))
        return found

    def _look(self, key: EmbeddingKey) -> StoredEmbedding | None:
        found = self._stored(key)
        if found is not None:
            return found
        job = self.queue.state(key)
        if job.status is JobStatus.FAILED:
            raise job.error(EverythingFailed)
        if job.status is JobStatus.ABSENT:
            found = self._stored(key)  # it may have come between the two looks
            if found is None:
                self._have_made(key)
        return found

    def _have_made(self, key: EmbeddingKey) -> None:
        if not self.store.exists(image_key(key.image_id)):
            raise ImageExpired("the image's bytes are no longer kept; upload it again")
        try:
            self.queue.submit(key)
        except Overloaded as error:
            _log.info("image %s: waiting for room in the encode queue: %s", key.image_id[:12], error.detail)

    def _stored(self, key: EmbeddingKey) -> StoredEmbedding | None:
        value = self.store.get(key.redis_key)
        if value is None:
            return None
        try:
            return decode_embedding(value, key, self.specs, max_pixels=self.max_pixels)
        except DamagedEmbedding as error:
            _log.error("dropped the embedding of image %s: %s", key.image_id[:12], error.detail)
            self.store.delete(key.redis_key)
            return None


def _workers(queue: EncodeQueue, key: EmbeddingKey) -> str:
    alive = queue.workers_alive(key.queue)
    return f"and no worker of {key.model} is alive" if alive == 0 else f"by {alive} workers of {key.model}"
