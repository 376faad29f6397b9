"""Embeddings ready for prompts: from memory, otherwise from Redis in one round trip."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from prompt_api.metrics.counting import ApiMetrics, Tier
from prompt_api.models.interface import Decoder, PreparedImage
from prompt_api.service.lru import ByteLru, LruStats
from shared.contract import errors
from shared.contract.geometry import Size
from shared.contract.keys import EmbeddingKey, record_key
from shared.contract.models import Architecture, TensorSpec
from shared.contract.region import Region
from shared.observe.stages import Stages
from shared.store.interface import Store
from shared.tensors.embedding import StoredEmbedding, decode_embedding, embedding_as_file

LOAD_TIMEOUT = 5.0
"""Seconds one thread waits for another that is already loading the same embedding."""

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class PromptableImage:
    """An image that the decoder can take prompts on.

    Attributes:
        original: (height, width) of the EXIF-oriented original.
        region: the part of it that was encoded; None for all of it.
        prepared: what the decoder keeps of the image or region.
    """

    original: Size
    region: Region | None
    prepared: PreparedImage

    @property
    def nbytes(self) -> int:
        return self.prepared.nbytes

    @property
    def size(self) -> Size:
        """(height, width) of what was encoded: of the region, if there is one."""
        return self.original if self.region is None else self.region.size

    @property
    def corner(self) -> tuple[int, int]:
        """(x, y) of the upper left corner of what was encoded."""
        return (0, 0) if self.region is None else (self.region.x0, self.region.y0)


class EmbeddingCache:
    """A byte-capped LRU of prepared images in front of the store; safe for threads."""

    def __init__(self, *, store: Store, capacity: int, metrics: ApiMetrics, max_pixels: int) -> None:
        """Args:
        capacity: bytes of prepared images.
        max_pixels: of the largest image that is accepted.
        """
        self._store = store
        self._decode = partial(decode_embedding, max_pixels=max_pixels)
        self._metrics = metrics
        self._lru: ByteLru[EmbeddingKey, PromptableImage] = ByteLru(capacity, metrics.lru("embeddings"))
        self._doubted: set[EmbeddingKey] = set()

    def get(
        self, key: EmbeddingKey, architecture: Architecture, decoder: Decoder[Any], timings: Stages
    ) -> PromptableImage | None:
        """Return the image, or None if no intact embedding of it is stored.

        Args:
            architecture: that of the model that `key` names.
            decoder: that of the same model.

        Raises:
            StoreUnavailable: the image is not in memory, and Redis does not answer.
        """

        tier = Tier.MEMORY

        def load() -> PromptableImage:
            nonlocal tier
            tier = Tier.REDIS
            with timings.stage("fetch"):
                stored = self._read(key, architecture, self._decode)
            if stored is None:
                raise _Absent
            with timings.stage("prepare"):
                size = stored.original if key.region is None else key.region.size
                prepared = decoder.prepare(stored.tensors, size)
            return PromptableImage(stored.original, key.region, prepared)

        if key in self._doubted:
            self._settle(key)
        try:
            image = self._lru.get_or_load(key, load, timeout=LOAD_TIMEOUT)
        except _Absent:
            self._metrics.looked_up(Tier.ABSENT)
            return None
        except TimeoutError:
            raise errors.Overloaded("another request has been loading this image too long", retry_after=1) from None
        self._metrics.looked_up(tier)
        return image

    def tensors(self, key: EmbeddingKey, architecture: Architecture) -> StoredEmbedding | None:
        """Return the embedding itself, from the store, or None if no intact one is stored.

        Args:
            architecture: that of the model that `key` names.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        return self._read(key, architecture, self._decode)

    def file(self, key: EmbeddingKey, architecture: Architecture) -> bytes | None:
        """Return the embedding as a numpy file (see `embedding_as_file`), or None if no intact one is stored.

        Args:
            architecture: that of the model that `key` names.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        return self._read(key, architecture, embedding_as_file)

    def _read(
        self,
        key: EmbeddingKey,
        architecture: Architecture,
        decode: Callable[[bytes, EmbeddingKey, Sequence[TensorSpec]], T],
    ) -> T | None:
        """Return the stored value, decoded, or None.

        That of a region counts only while the image is known, because a deletion may have missed it: see
        `ImageRegions`. A damaged value is deleted and counts as absent, so that the image is encoded again.
        """
        value = self._store.get(key.redis_key)
        if value is None or (key.region is not None and not self._store.exists(record_key(key.image_id))):
            return None
        try:
            return decode(value, key, architecture.tensors)
        except errors.DamagedEmbedding as error:
            _log.error("dropped the embedding of image %s: %s", key.image_id[:12], error.detail)
            self._metrics.damaged()
            self._store.delete(key.redis_key)
            return None

    def regions_of(self, key: EmbeddingKey) -> list[Region]:
        """Return the regions of an image that are in memory, for the model of `key`."""
        kept = self._lru.keys()
        return [
            other.region
            for other in kept
            if other.region is not None and other.image_id == key.image_id and other.model == key.model
        ]

    def forget(self, image_id: str) -> None:
        """Drop the image and its regions from memory, for every model."""
        self._lru.discard(lambda key: key.image_id == image_id)

    def doubt(self) -> None:
        """Have each image in memory looked up in the store before its next use: it may have been deleted."""
        self._lru.discard(lambda _key: False)  # drops nothing, but values that are loading now will not be kept
        self._doubted = set(self._lru.keys())

    def _settle(self, key: EmbeddingKey) -> None:
        try:
            known = self._store.exists(record_key(key.image_id))
        except errors.StoreUnavailable:
            return  # in an outage the image stays usable, and is looked up again at its next use
        self._doubted.discard(key)
        if not known:
            self.forget(key.image_id)

    def stats(self) -> LruStats:
        return self._lru.stats()


class _Absent(Exception):
    """Internal: no embedding is stored."""
