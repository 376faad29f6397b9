"""The worker's use case: one uploaded image to one stored image embedding."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from encoder_worker.encoding.encoder import Encoder
from encoder_worker.metrics.counting import WorkerMetrics
from shared import log_context, tracing
from shared.codec import EmbeddingDtype, encode_embedding
from shared.errors import EncodeFailed, ImageExpired
from shared.events import Events
from shared.geometry import Size
from shared.images import decode_image, resize_longest_side
from shared.keys import EmbeddingKey, image_key, record_key
from shared.store import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeImage:
    """Encodes images of one model: `prepare`, the encoder, `finish`; the first and the last may run in any thread.

    Attributes:
        dtype: how embeddings are stored.
        ttl: seconds they are kept.
        max_pixels: largest image that is decoded.
        metrics: where it counts.
    """

    store: Store
    encoder: Encoder
    events: Events
    dtype: EmbeddingDtype
    ttl: int
    max_pixels: int
    metrics: WorkerMetrics = field(default_factory=WorkerMetrics)
    _device: Lock = field(default_factory=Lock, init=False)

    def __call__(self, key: EmbeddingKey) -> None:
        """Store the embedding that `key` names, unless it is there, and wake those who wait for it.

        Raises:
            ImageExpired: the bytes are gone, or damaged.
            UnsupportedImage, InvalidImage, ImageTooLarge: the bytes are no image this service takes.
            EncodeFailed: this worker runs other weights or another preprocessing, or the encoder failed.
            StoreUnavailable: the cache is out of reach.
        """
        prepared = self.prepare(key)
        if prepared is not None:
            (embedding,) = self.embed([prepared])
            self.finish(prepared, embedding)

    def prepare(self, key: EmbeddingKey) -> Prepared | None:
        """The image on its way to the encoder; None if its embedding is there, and those who wait are woken.

        Raises:
            All that `__call__` does but for failures of the encoder.
        """
        if key != EmbeddingKey.of(key.image_id, self.encoder.model):
            raise EncodeFailed("this worker runs other weights, or another preprocessing, than the job asks for")
        stages = _Stages()
        self.events.publish(key, "encoding")
        if self.store.exists(key.redis_key):
            _log.info("image %s: the %s embedding is there already", key.image_id[:12], key.model)
            self.events.publish(key, "ready")
            return None
        data = self._bytes_of(key)
        stages.end("load")
        frame, original = self._frame(data, stages)
        return Prepared(key, frame, original, stages)

    def embed(self, batch: Sequence[Prepared]) -> list[NDArray[np.floating]]:
        """The embeddings of several images, one call at a time whatever the threads.

        Raises:
            EncodeFailed: the encoder failed on at least one of them.
        """
        with self._device:
            for prepared in batch:
                prepared.stages.end("wait")
            began = time.perf_counter()
            embeddings = self.encoder.encode([prepared.frame for prepared in batch])
            self.metrics.batched(len(batch), time.perf_counter() - began)
        for prepared in batch:
            prepared.stages.end("encode")
        return list(embeddings)

    def finish(self, prepared: Prepared, embedding: NDArray[np.floating]) -> None:
        """Store the embedding and wake those who wait for it.

        Raises:
            EncodeFailed: it is not one that may be kept.
            StoreUnavailable: the cache is out of reach.
        """
        key = prepared.key
        value = encode_embedding(key, embedding, dtype=self.dtype, original=prepared.original)
        self.store.put(key.redis_key, value, self.ttl)
        if not self.store.exists(record_key(key.image_id)):
            # Deleted meanwhile. The record goes first, so one side or the other removes the embedding.
            self.store.delete(key.redis_key)
        prepared.stages.end("store")
        self.metrics.encoded(prepared.stages.seconds)
        height, width = prepared.original
        _log.info(
            "image %s (%dx%d) encoded by %s: %s",
            key.image_id[:12],
            width,
            height,
            key.model,
            prepared.stages,
            extra={"stages_ms": prepared.stages.milliseconds},
        )
        self.events.publish(key, "ready")

    def _bytes_of(self, key: EmbeddingKey) -> bytes:
        """What was uploaded, and nothing else: a decoder may find a photo in damaged bytes too."""
        data = self.store.get(image_key(key.image_id))
        if data is None:
            raise ImageExpired("the image's bytes were gone before it was encoded; upload it again")
        if hashlib.sha256(data).hexdigest() != key.image_id:
            self.store.delete(image_key(key.image_id))
            raise ImageExpired("the image's bytes were damaged in the cache; upload it again")
        return data

    def _frame(self, data: bytes, stages: _Stages) -> tuple[NDArray[np.uint8], Size]:
        """The resized image, and the (height, width) it had. The full-size pixels are freed on return."""
        rgb = decode_image(data, max_pixels=self.max_pixels)
        stages.end("decode")
        frame = resize_longest_side(rgb)
        stages.end("resize")
        return frame, (rgb.shape[0], rgb.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """An image ready for the encoder.

    Attributes:
        key: of its embedding.
        frame: (H, W, 3) uint8, long side 1024.
        original: (height, width) it had.
        stages: what it has been through.
    """

    key: EmbeddingKey
    frame: NDArray[np.uint8]
    original: Size
    stages: _Stages


class _Stages:
    """How long each stage took, for the log, the metrics and the trace of the job that is at hand when this is made.

    Attributes:
        seconds: of each stage that has ended.
    """

    def __init__(self) -> None:
        self._fields, self._span = log_context.fields(), tracing.current()
        self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def end(self, stage: str) -> None:
        """In any thread."""
        now = time.perf_counter()
        seconds, self._last = now - self._last, now
        # A batch that failed is run again image by image: then a stage ends twice.
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        self._span.record(stage, seconds)
        with log_context.scope(**self._fields):
            _log.debug("%s took %.1f ms", stage, 1000 * seconds, extra={"stage": stage, "duration_ms": 1000 * seconds})

    @property
    def milliseconds(self) -> dict[str, float]:
        """The same, rounded, for the log."""
        return {stage: round(1000 * seconds, 2) for stage, seconds in self.seconds.items()}

    def __str__(self) -> str:
        return ", ".join(f"{stage} {1000 * seconds:.0f}" for stage, seconds in self.seconds.items()) + " ms"
