"""The encode use case on fakes: what it stores, skips, refuses and publishes."""

from __future__ import annotations

import hashlib
import io
import logging
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from encoder_worker.backends.fake.encoder import FakeEncoder
from encoder_worker.encoding.encode import EncodeImage
from encoder_worker.encoding.encoder import Encoder
from shared.contract.errors import EncodeFailed, ImageExpired, ImageTooLarge, InvalidImage, UnsupportedImage
from shared.contract.keys import EmbeddingKey, image_key, preview_key, record_key
from shared.contract.models import FAKE, MOBILE_SAM, SAM1, Model
from shared.tensors.embedding import Tensors, decode_embedding
from tests.support import sample_images as sample
from tests.support.memory_events import MemoryEvents
from tests.support.memory_store import MemoryStore


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (255, 128, 0)).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class Desk:
    """The use case and the fakes it works with."""

    encoder: Encoder = field(default_factory=FakeEncoder)
    store: MemoryStore = field(default_factory=MemoryStore)
    events: MemoryEvents = field(default_factory=MemoryEvents)

    def upload(self, data: bytes) -> EmbeddingKey:
        image_id = hashlib.sha256(data).hexdigest()
        self.store.put(image_key(image_id), data, 60)
        self.store.put(record_key(image_id), b"{}", 60)
        return EmbeddingKey.of(image_id, self.encoder.model)

    def encode(self, key: EmbeddingKey) -> None:
        EncodeImage(
            store=self.store, encoder=self.encoder, events=self.events, dtype="float16", ttl=60, max_pixels=1_000_000
        )(key)

    @property
    def said(self) -> list[str]:
        return [status for _, status in self.events.published]


class CountingEncoder:
    """Returns a constant embedding and counts its calls."""

    model: Model = FAKE
    batch = 1

    def __init__(self, value: float = 0.0) -> None:
        self.calls = 0
        self._value = value

    def encode(self, images: list[NDArray[np.uint8]]) -> list[Tensors]:
        self.calls += 1
        return [{"embedding": np.full((1, 256, 64, 64), self._value, dtype=np.float32)} for _ in images]


def test_an_image_becomes_a_stored_embedding_with_its_original_size() -> None:
    desk = Desk()
    key = desk.upload(png(width=64, height=32))
    desk.encode(key)
    value = desk.store.get(key.redis_key)
    assert value is not None
    stored = decode_embedding(value, key, SAM1.tensors)
    assert stored.original == (32, 64)
    assert stored.tensors["embedding"][0, :4, 0, 0] == pytest.approx([1, 128 / 255, 0, 1], abs=1e-3)
    assert stored.tensors["embedding"][0, :4, 63, 63] == pytest.approx([0, 0, 0, 0])


def test_waiters_hear_of_the_start_and_of_the_end() -> None:
    desk = Desk()
    desk.encode(desk.upload(png(8, 8)))
    assert desk.said == ["encoding", "ready"]


def test_an_embedding_that_is_there_is_not_made_again() -> None:
    encoder = CountingEncoder()
    desk = Desk(encoder)
    key = desk.upload(png(8, 8))
    desk.encode(key)
    desk.encode(key)
    assert encoder.calls == 1
    assert desk.said[-1] == "ready"


def test_bytes_that_are_gone_are_an_expired_image() -> None:
    desk = Desk()
    key = desk.upload(png(8, 8))
    desk.store.delete(image_key(key.image_id))
    with pytest.raises(ImageExpired):
        desk.encode(key)


def test_bytes_that_are_not_those_uploaded_are_never_encoded() -> None:
    """The stored bytes are another valid photo, which the decoder would accept."""
    desk = Desk()
    key = desk.upload(png(8, 8))
    desk.store.put(image_key(key.image_id), png(9, 9), 60)
    with pytest.raises(ImageExpired, match="damaged"):
        desk.encode(key)
    assert not desk.store.exists(key.redis_key)
    assert not desk.store.exists(image_key(key.image_id))


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"just text", UnsupportedImage), (png(64, 64)[:80], InvalidImage), (png(1001, 1000), ImageTooLarge)],
    ids=["text", "truncated", "too large"],
)
def test_bytes_that_are_no_image_fail_with_the_readers_error(data: bytes, error: type[Exception]) -> None:
    desk = Desk()
    key = desk.upload(data)
    with pytest.raises(error):
        desk.encode(key)
    assert not desk.store.exists(key.redis_key)
    assert "ready" not in desk.said


def test_an_embedding_that_is_not_finite_is_not_stored() -> None:
    desk = Desk(CountingEncoder(value=float("nan")))
    key = desk.upload(png(8, 8))
    with pytest.raises(EncodeFailed):
        desk.encode(key)
    assert not desk.store.exists(key.redis_key)


@pytest.mark.parametrize("other", ["model", "weights", "preprocessing"])
def test_a_job_for_another_encoder_is_refused(other: str) -> None:
    encoder = CountingEncoder()
    desk = Desk(encoder)
    image_id = desk.upload(png(8, 8)).image_id
    key = {
        "model": EmbeddingKey.of(image_id, MOBILE_SAM),
        "weights": EmbeddingKey(image_id, FAKE.name, "0" * 64, "p1"),
        "preprocessing": EmbeddingKey(image_id, FAKE.name, FAKE.weights_digest, "p0"),
    }[other]
    with pytest.raises(EncodeFailed, match="other weights"):
        desk.encode(key)
    assert encoder.calls == 0


def test_an_image_deleted_while_it_is_encoded_leaves_no_embedding() -> None:
    desk = Desk()

    class DeletedMeanwhile(CountingEncoder):
        def encode(self, images: list[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
            desk.store.delete(record_key(key.image_id))
            return super().encode(images)

    desk.encoder = DeletedMeanwhile()
    key = desk.upload(png(8, 8))
    desk.encode(key)
    assert not desk.store.exists(key.redis_key)


def test_one_line_of_log_tells_the_stages_and_not_the_whole_id(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="encoder_worker")
    desk = Desk()
    key = desk.upload(png(64, 32))
    desk.encode(key)
    (line,) = caplog.messages
    assert key.image_id[:12] in line
    assert key.image_id not in line
    for part in ("64x32", "load", "decode", "resize", "encode", "store", "ms"):
        assert part in line


def test_a_jpeg_that_lost_its_end_is_encoded_if_it_is_whole_and_invalid_if_it_is_cut() -> None:
    desk = Desk()
    key = desk.upload(sample.jpeg()[:-2])
    desk.encode(key)
    assert desk.store.exists(key.redis_key)
    cut = desk.upload(sample.jpeg()[:-200])
    with pytest.raises(InvalidImage, match="ends inside a scan"):
        desk.encode(cut)
    assert not desk.store.exists(cut.redis_key)


def test_an_image_deleted_while_it_is_encoded_leaves_no_preview() -> None:
    data = sample.saved(sample.picture(), "TIFF")

    class DeletedMeanwhile(CountingEncoder):
        def encode(self, images: list[NDArray[np.uint8]]) -> list[Tensors]:
            desk.store.delete(record_key(key.image_id))
            return super().encode(images)

    desk = Desk(encoder=DeletedMeanwhile())
    key = desk.upload(data)
    desk.encode(key)
    assert not desk.store.exists(preview_key(key.image_id))
