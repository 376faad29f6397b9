"""A mask worker's use case: from the name of a job to its stored masks."""

from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field

from prompt_api.everything.embedding import EmbeddedCrop
from prompt_api.everything.generate import generate
from prompt_api.everything.grid import crop_boxes
from prompt_api.everything.interface import CropBox, CropImage, MasksSoFar
from prompt_api.everything.job.embeddings import EmbeddingsInTime, Stopped
from prompt_api.everything.job.key import EverythingKey
from prompt_api.everything.job.orders import Orders
from prompt_api.everything.job.progress import Progress
from prompt_api.everything.job.queue import EverythingQueue
from prompt_api.everything.job.stored import pack_masks
from prompt_api.everything.options import EverythingOptions
from prompt_api.metrics.mask_worker import MaskWorkerMetrics
from prompt_api.models.interface import LoadedDecoder
from shared.contract.errors import EverythingFailed, StoreUnavailable
from shared.contract.geometry import Size
from shared.contract.keys import EmbeddingKey
from shared.contract.region import region_in
from shared.events.interface import Events
from shared.queue.interface import EncodeQueue
from shared.store.interface import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchImage:
    """Finds and stores every mask of an image, for jobs of one model.

    Attributes:
        loaded: the model and its decoder.
        store: one that waits while the cache is out of reach.
        hasty: the same store, but it fails at once. What can be left out is stored with it.
        ttl: seconds the masks are kept.
        patience: seconds to wait for each embedding.
        max_pixels: of the largest image that this service accepts.
        threads: how many batches of points are decoded at once.
    """

    loaded: LoadedDecoder
    store: Store
    hasty: Store
    queue: EverythingQueue
    encodes: EncodeQueue
    events: Events
    ttl: int
    patience: float
    max_pixels: int
    threads: int = 1
    metrics: MaskWorkerMetrics = field(default_factory=MaskWorkerMetrics)

    def __call__(self, key: EverythingKey) -> None:
        """Store the masks that `key` names, unless they are there, and wake those who wait for them.

        A job that is stopped, or whose image is deleted, ends early and stores nothing.

        Raises:
            EverythingFailed: this worker runs other weights, or the masks are too many.
            EmbeddingPending: an embedding did not come in time.
            ImageExpired: the image's bytes and its embedding are gone.
            EncodeFailed, InvalidImage, UnsupportedImage, ImageTooLarge, Overloaded: why the image cannot be encoded.
            InvalidParameter: no API of this service made the job.
            StoreUnavailable: Redis stayed out of reach.
        """
        if not key.is_of(self.loaded.model):
            raise EverythingFailed("this mask worker runs other weights than the job asks for")
        if self.store.exists(key.result_key):
            _log.info("image %s: its masks are there already", key.image_id[:12])
            self.events.publish(key, "ready")
            return
        options = _options(key)
        self.events.publish(key, "progress")
        with self.events.watch(key) as watch:
            orders = Orders(key, watch, queue=self.queue, store=self.hasty)
            try:
                self._search(key, options, orders)
            except Stopped:
                _log.info("image %s: stopped", key.image_id[:12])
                # Whoever stopped it deleted the progress, but one more report may have come after that.
                with suppress(StoreUnavailable):  # it is kept for a minute only
                    self.hasty.delete(key.progress_key)

    def _search(self, key: EverythingKey, options: EverythingOptions, orders: Orders) -> None:
        embeddings = EmbeddingsInTime(
            store=self.store,
            queue=self.encodes,
            events=self.events,
            specs=self.loaded.model.architecture.tensors,
            max_pixels=self.max_pixels,
            patience=self.patience,
            stopped=orders.stopped,
        )
        began = time.perf_counter()
        whole = embeddings.get(EmbeddingKey.of(key.image_id, self.loaded.model))
        size = whole.original
        keys = {box: self._embedding_key(key, box, size) for box in crop_boxes(options, size)}
        embeddings.ask_for([wanted for wanted in keys.values() if wanted.region is not None])
        self.metrics.spent("wait", time.perf_counter() - began)
        waited = 0.0

        def source(crop: CropBox) -> CropImage:
            nonlocal waited
            asked = time.perf_counter()
            stored = whole if keys[crop].region is None else embeddings.get(keys[crop])
            waited += time.perf_counter() - asked
            x0, y0, x1, y1 = crop
            return EmbeddedCrop(self.loaded, stored.tensors, (y1 - y0, x1 - x0))

        progress = Progress(key, size, store=self.hasty, events=self.events)
        points = 0

        def report(done: int, total: int, masks: MasksSoFar) -> None:
            nonlocal points
            self.metrics.decoded(done - points)
            points = done
            progress(done, total, masks)

        began = time.perf_counter()
        masks = generate(source, options, size, report=report, stopped=orders.stopped, threads=self.threads)
        seconds = time.perf_counter() - began - waited
        if orders.stopped():
            raise Stopped
        began = time.perf_counter()
        self.store.put(key.result_key, pack_masks(key, masks, size, max(1, points), max(1, points)), self.ttl)
        if orders.forgotten():
            # It was stopped, or its image deleted, at the last moment. Whoever does that forgets the job or the record
            # first and deletes the masks later, so either that or this deletes them.
            self.store.delete(key.result_key)
            raise Stopped
        self.metrics.spent("search", seconds)
        self.metrics.spent("store", time.perf_counter() - began)
        self.metrics.found(len(masks))
        _log.info(
            "image %s (%dx%d): %d masks of %d points by %s in %.1f s, %.1f s of them waiting for crops",
            key.image_id[:12],
            size[1],
            size[0],
            len(masks),
            points,
            key.model,
            seconds + waited,
            waited,
        )
        self.events.publish(key, "ready")

    def _embedding_key(self, key: EverythingKey, box: CropBox, size: Size) -> EmbeddingKey:
        return EmbeddingKey.of(key.image_id, self.loaded.model, region_in(box, size))


def _options(key: EverythingKey) -> EverythingOptions:
    try:
        given = json.loads(key.options)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise EverythingFailed("the job's options cannot be read")
    return EverythingOptions.of(given)
