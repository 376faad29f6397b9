"""Images that the service knows without encoding them: one real embedding is stored under every image's key."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

import redis

from bench.photos import STANDARD, photos
from bench.scale.pictures import SIZE, image_id, picture
from encoder_worker.backends.load import load_encoder
from prompt_api.models.load import load_decoder
from shared.contract.keys import EmbeddingKey, image_key, record_key
from shared.contract.models import EMBEDDING, FAKE, SAM1, find_model
from shared.contract.settings import Settings
from shared.images.reading import decode_image
from shared.store.redis_store import RedisStore
from shared.tensors.embedding import encode_embedding

_TTL = 86_400
_KEY_BYTES = 4_300
"""Bytes that a value takes in Valkey beside its own: its key, and the rest of its last page."""

_SPARE_BYTES = 6_000_000
"""Bytes that Valkey takes without values: its own, and buffers for values that are being sent."""


class Population:
    """The images of one model.

    Attributes:
        model: its name.
        size: (height, width) in pixels of every image.
        prepared_bytes: memory that an image takes in a replica.
    """

    def __init__(self, model: str) -> None:
        settings = Settings.from_env({**os.environ, "SAM_MODEL": model, "SAM_MODELS": ""})
        self.model = model
        if model == FAKE.name:  # its worker also encodes pictures, and all must have one size
            rgb, self.size = decode_image(picture(0), max_pixels=settings.max_image_pixels), SIZE
        else:
            rgb, self.size = photos()[0].resized(STANDARD).rgb, STANDARD
        (self._tensors,) = load_encoder(find_model(model), settings).encode([SAM1.frame.resize(rgb)])
        loaded = load_decoder(find_model(model), settings)
        self._model = loaded.model
        self.prepared_bytes = loaded.decoder.prepare(self._tensors, self.size).nbytes

    def settings(self, images: int) -> dict[str, str]:
        """Environment for replicas that keep that many images in memory."""
        return {
            "SAM_MODEL": self.model,
            "SAM_MODELS": "",
            "SAM_EMBEDDING_DTYPE": "float16",
            "SAM_EMBEDDING_LRU_BYTES": str(images * self.prepared_bytes),
        }

    def store(self, cache_url: str, images: Iterable[int], embedded: frozenset[int] | None = None) -> None:
        """Store the bytes and records of `images`, and the embeddings of those in `embedded`; None stands for all."""
        height, width = self.size
        record = json.dumps({"width": width, "height": height}).encode()
        with redis.Redis.from_url(cache_url) as client:
            store = RedisStore(client)
            for image in images:
                key = EmbeddingKey.of(image_id(image), self._model)
                store.put(record_key(key.image_id), record, _TTL)
                store.put(image_key(key.image_id), picture(image), _TTL)
                if embedded is None or image in embedded:
                    store.put(key.redis_key, self._value(key), _TTL)

    def cache_bytes(self, embeddings: int) -> int:
        """`maxmemory` of a cache with room for that many embeddings."""
        value = self._value(EmbeddingKey.of(image_id(0), self._model))
        return embeddings * (len(value) + _KEY_BYTES) + _SPARE_BYTES

    def _value(self, key: EmbeddingKey) -> bytes:
        return encode_embedding(
            key, self._tensors, specs=SAM1.tensors, dtypes={EMBEDDING: "float16"}, original=self.size
        )


def embeddings_kept(cache_url: str) -> int:
    """Number of embeddings that a cache holds now."""
    with redis.Redis.from_url(cache_url) as client:
        return sum(1 for _ in client.scan_iter("sam:tensors:*", count=1000))
