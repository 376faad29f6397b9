"""Uploads small pictures of one colour, and reads the embeddings that the fake encoder made of them."""

from __future__ import annotations

import hashlib
import io

from PIL import Image

from shared.contract.keys import EmbeddingKey, image_key, record_key
from shared.contract.models import FAKE, SAM1
from shared.store.interface import Store
from shared.tensors.embedding import decode_embedding


def upload(store: Store, red: int, *, cut: int | None = None, side: int = 16) -> EmbeddingKey:
    """Store a square picture of that red, or only its first `cut` bytes, as an upload."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (red, 0, 0)).save(buffer, "PNG")
    data = buffer.getvalue()[:cut]
    image_id = hashlib.sha256(data).hexdigest()
    store.put(image_key(image_id), data, 60)
    store.put(record_key(image_id), b"{}", 60)
    return EmbeddingKey.of(image_id, FAKE)


def red_of(store: Store, key: EmbeddingKey) -> float:
    """The red of the picture, 0 to 1, as its stored embedding has it."""
    value = store.get(key.redis_key)
    assert value is not None
    return float(decode_embedding(value, key, SAM1.tensors).tensors["embedding"][0, 0, 0, 0])
