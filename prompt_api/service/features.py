"""Features of images, for the search for similar objects: from memory, otherwise from the stored embedding."""

from __future__ import annotations

from collections.abc import Callable

from prompt_api.service.embeddings import LOAD_TIMEOUT, EmbeddingCache
from prompt_api.service.lru import ByteLru, LruStats
from prompt_api.similar.features import image_features
from prompt_api.similar.interface import ImageFeatures
from shared.contract.errors import Overloaded
from shared.contract.keys import EmbeddingKey
from shared.contract.models import Architecture
from shared.observe.stages import Stages


class FeatureCache:
    """A byte-capped LRU of features in front of the store; safe for threads.

    It does not know whether an image was deleted. Look the image up in the `EmbeddingCache` first, which does.
    """

    def __init__(self, *, embeddings: EmbeddingCache, capacity: int, changed: Callable[[LruStats], None]) -> None:
        """Args:
        embeddings: reads embeddings from the store.
        capacity: bytes of features.
        changed: called after each change of what is kept.
        """
        self._embeddings = embeddings
        self._lru: ByteLru[EmbeddingKey, ImageFeatures] = ByteLru(capacity, changed)

    def get(self, key: EmbeddingKey, architecture: Architecture, timings: Stages) -> ImageFeatures | None:
        """Return the features of a whole image, or None if no intact embedding of it is stored.

        Args:
            architecture: that of the model that `key` names.

        Raises:
            Overloaded: another request has been loading them too long.
            StoreUnavailable: they are not in memory, and Redis does not answer.
        """

        def load() -> ImageFeatures:
            with timings.stage("fetch"):
                stored = self._embeddings.tensors(key, architecture)
            if stored is None:
                raise _Absent
            with timings.stage("prepare"):
                return image_features(stored.tensors, architecture, stored.original)

        try:
            return self._lru.get_or_load(key, load, timeout=LOAD_TIMEOUT)
        except _Absent:
            return None
        except TimeoutError:
            raise Overloaded("another request has been loading this image too long", retry_after=1) from None

    def forget(self, image_id: str) -> None:
        """Drop the image's features, for every model."""
        self._lru.discard(lambda key: key.image_id == image_id)


class _Absent(Exception):
    """Internal: no embedding is stored."""
