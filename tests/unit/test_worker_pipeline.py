"""Many images pass through the stages at once, in batches, and each ends on its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder_worker.backends.fake.encoder import FakeEncoder
from encoder_worker.encoding.decode_room import DecodeRoom
from encoder_worker.encoding.device_lost import DeviceLost
from encoder_worker.encoding.encode import EncodeImage
from encoder_worker.encoding.pictures import DecodedPictures
from encoder_worker.encoding.pipeline import EncodePipeline
from encoder_worker.metrics.counting import WorkerMetrics
from shared.contract.errors import EncodeFailed, InvalidImage
from shared.contract.keys import EmbeddingKey
from shared.contract.region import Region
from shared.tensors.embedding import Tensors
from tests.support.encoder_desk import red_of, upload
from tests.support.memory_events import MemoryEvents
from tests.support.memory_store import MemoryStore

SOON = 60.0
POISON = 255
ROOM = 1_000_000


class BatchEncoder(FakeEncoder):
    """Encodes up to four images at once, waits at a gate, and fails on any batch with a poisoned image."""

    def __init__(self) -> None:
        super().__init__(batch=4)
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Semaphore(0)

    def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensors]:
        self.sizes.append(len(images))
        self.waiting.release()
        assert self.gate.wait(SOON)
        if any(image[0, 0, 0] == POISON for image in images):
            raise EncodeFailed("no good")
        return super().encode(images)


class Desk:
    def __init__(self) -> None:
        self.encoder = BatchEncoder()
        self.store = MemoryStore()
        self.events = MemoryEvents()
        self.room = DecodeRoom(ROOM)
        self.metrics = WorkerMetrics()
        self.pipeline = EncodePipeline(
            EncodeImage(
                store=self.store,
                encoder=self.encoder,
                events=self.events,
                dtype="float16",
                ttl=60,
                max_pixels=1_000_000,
                metrics=self.metrics,
                room=self.room,
                pictures=DecodedPictures(1_000_000, 60),
            )
        )

    def upload(self, shade: int, *, cut: int | None = None, side: int = 16) -> EmbeddingKey:
        return upload(self.store, shade, cut=cut, side=side)

    def red_of(self, key: EmbeddingKey) -> float:
        return red_of(self.store, key)


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.encoder.gate.set()
    desk.pipeline.close()


def test_images_that_wait_are_encoded_in_batches_and_none_is_mixed_up(desk: Desk) -> None:
    desk.encoder.gate.clear()
    first = desk.pipeline.submit(desk.upload(1))
    assert desk.encoder.waiting.acquire(timeout=SOON)
    keys = [desk.upload(shade) for shade in range(10, 19)]
    futures = [desk.pipeline.submit(key) for key in keys]
    desk.encoder.gate.set()
    wait([first, *futures], timeout=SOON)
    assert [desk.red_of(key) for key in keys] == pytest.approx([shade / 255 for shade in range(10, 19)], abs=1e-3)
    assert max(desk.encoder.sizes) <= 4
    assert len(desk.encoder.sizes) < 10


def test_the_next_images_are_decoded_while_the_encoder_is_busy(desk: Desk) -> None:
    desk.encoder.gate.clear()
    desk.pipeline.submit(desk.upload(1))
    assert desk.encoder.waiting.acquire(timeout=SOON)
    bad = desk.pipeline.submit(desk.upload(2, cut=50))
    with pytest.raises(InvalidImage):
        bad.result(timeout=SOON)  # decoding failed while the encoder was still busy with the first image


def test_images_wait_with_decoding_until_there_is_room_for_them(desk: Desk) -> None:
    key = desk.upload(1)
    with desk.room.held(ROOM):
        encoded = desk.pipeline.submit(key)
        deadline = time.monotonic() + SOON
        while not desk.room.waiting:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        assert not encoded.done()
    assert encoded.result(timeout=SOON) is None


def test_a_bad_image_among_good_ones_fails_alone(desk: Desk) -> None:
    keys = [desk.upload(1), desk.upload(2, cut=50), desk.upload(3)]
    good, bad, too = (desk.pipeline.submit(key) for key in keys)
    assert good.result(timeout=SOON) is too.result(timeout=SOON) is None
    with pytest.raises(InvalidImage):
        bad.result(timeout=SOON)
    assert not desk.store.exists(keys[1].redis_key)


def test_a_batch_that_fails_is_run_again_one_by_one(desk: Desk) -> None:
    desk.encoder.gate.clear()
    desk.pipeline.submit(desk.upload(1))
    assert desk.encoder.waiting.acquire(timeout=SOON)
    futures = [desk.pipeline.submit(desk.upload(shade)) for shade in (10, POISON, 12, 13)]
    desk.encoder.gate.set()
    with pytest.raises(EncodeFailed, match="no good"):
        futures[1].result(timeout=SOON)
    for good in (futures[0], *futures[2:]):
        assert good.result(timeout=SOON) is None


def test_with_a_lost_device_nothing_is_run_again(desk: Desk) -> None:
    def encode(images: Sequence[NDArray[np.uint8]]) -> list[Tensors]:
        desk.encoder.sizes.append(len(images))
        raise DeviceLost("the device has stopped working")

    desk.encoder.gate.clear()
    first = desk.pipeline.submit(desk.upload(1))
    assert desk.encoder.waiting.acquire(timeout=SOON)
    futures = [desk.pipeline.submit(desk.upload(shade)) for shade in (10, 11, 12, 13)]
    desk.encoder.encode = encode  # type: ignore[method-assign]
    desk.encoder.gate.set()
    assert first.result(timeout=SOON) is None
    assert [type(future.exception(timeout=SOON)) for future in futures] == [DeviceLost] * 4
    assert sum(desk.encoder.sizes) == 5


def test_an_embedding_that_is_there_never_reaches_the_encoder(desk: Desk) -> None:
    key = desk.upload(1)
    desk.pipeline.submit(key).result(timeout=SOON)
    desk.pipeline.submit(key).result(timeout=SOON)
    assert desk.encoder.sizes == [1]


def test_a_failure_to_store_is_that_images_own(desk: Desk) -> None:
    class Broken(BatchEncoder):
        def encode(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensors]:
            return [{"embedding": np.full((1, 256, 64, 64), np.nan, dtype=np.float32)} for _ in images]

    broken = EncodeImage(
        store=desk.store, encoder=Broken(), events=desk.events, dtype="float16", ttl=60, max_pixels=1_000_000
    )
    pipeline = EncodePipeline(broken)
    try:
        with pytest.raises(EncodeFailed, match="not finite"):
            pipeline.submit(desk.upload(1)).result(timeout=SOON)
    finally:
        pipeline.close()


@pytest.mark.parametrize("failure", ["too few", "an error that is no Exception", "nothing"])
def test_whatever_the_encoder_does_the_next_images_are_encoded(desk: Desk, failure: str) -> None:
    class Death(BaseException):
        pass

    def encode(_images: Sequence[NDArray[np.uint8]]) -> list[Tensors]:
        if failure == "too few":
            return []
        if failure == "nothing":
            return None  # type: ignore[return-value]
        raise Death

    desk.encoder.encode = encode  # type: ignore[method-assign]
    lost = desk.pipeline.submit(desk.upload(1))
    assert lost.exception(timeout=SOON) is not None
    del desk.encoder.encode
    assert desk.pipeline.submit(desk.upload(2)).result(timeout=SOON) is None


def test_regions_of_one_picture_that_wait_are_decoded_once_and_encoded_in_batches(desk: Desk) -> None:
    desk.encoder.gate.clear()
    first = desk.pipeline.submit(desk.upload(1))
    assert desk.encoder.waiting.acquire(timeout=SOON)
    whole = desk.upload(50, side=64)
    keys = [replace(whole, region=Region(x, x, x + 20, x + 20)) for x in range(8)]
    futures = [desk.pipeline.submit(key) for key in keys]
    deadline = time.monotonic() + SOON
    while regions_of(desk, "decoded") + regions_of(desk, "kept") < len(keys):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    desk.encoder.gate.set()
    wait([first, *futures], timeout=SOON)
    assert [desk.red_of(key) for key in keys] == pytest.approx([50 / 255] * len(keys), abs=1e-3)
    assert (regions_of(desk, "decoded"), regions_of(desk, "kept")) == (1, len(keys) - 1)
    assert sum(desk.encoder.sizes) == 1 + len(keys)
    assert max(desk.encoder.sizes) == 4


def regions_of(desk: Desk, outcome: str) -> float:
    return desk.metrics.registry.get_sample_value("sam_worker_region_pictures_total", {"outcome": outcome}) or 0
