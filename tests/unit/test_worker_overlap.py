"""The encoder is given the next batch while it still works on the one before."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from numpy.typing import NDArray

from encoder_worker.backends.fake.encoder import FakeEncoder
from encoder_worker.encoding.encode import EncodeImage
from encoder_worker.encoding.pipeline import AHEAD, EncodePipeline
from encoder_worker.metrics.counting import WorkerMetrics
from shared.contract.errors import EncodeFailed
from shared.contract.keys import EmbeddingKey
from shared.tensors.embedding import Tensors
from tests.support.encoder_desk import red_of, upload
from tests.support.memory_events import MemoryEvents
from tests.support.memory_store import MemoryStore

SOON = 30.0
POISON = 255


class Job:
    """A batch on the fake device. It is done when the test says so."""

    def __init__(self, device: FakeDevice, images: Sequence[NDArray[Any]]) -> None:
        self._device = device
        self.reds = [int(image[0, 0, 0]) for image in images]
        self._tensors = FakeEncoder().encode(images)
        self.done = threading.Event()

    def result(self) -> list[Tensors]:
        assert self.done.wait(SOON)
        self._device.collected.append(self.reds)
        if POISON in self.reds:
            raise EncodeFailed("no good")
        return self._tensors


class FakeDevice(FakeEncoder):
    """An `OverlappingEncoder` that works on batches in their order, as a queue of a GPU does."""

    def __init__(self) -> None:
        super().__init__(batch=2)
        self.jobs: list[Job] = []
        self.collected: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.by_itself = False

    def begin(self, images: Sequence[NDArray[Any]]) -> Job:
        job = Job(self, images)
        if self.by_itself:
            job.done.set()
        self.jobs.append(job)
        self.begun.release()
        return job


class Desk:
    def __init__(self) -> None:
        self.device = FakeDevice()
        self.store = MemoryStore()
        self.metrics = WorkerMetrics()
        self.pipeline = EncodePipeline(
            EncodeImage(
                store=self.store,
                encoder=self.device,
                events=MemoryEvents(),
                dtype="float16",
                ttl=60,
                max_pixels=1_000_000,
                metrics=self.metrics,
            )
        )

    def upload(self, shade: int) -> EmbeddingKey:
        return upload(self.store, shade)

    def red_of(self, key: EmbeddingKey) -> float:
        return red_of(self.store, key)

    def wait_for_batches(self, count: int) -> None:
        for _ in range(count):
            assert self.device.begun.acquire(timeout=SOON)


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.device.by_itself = True
    for job in desk.device.jobs:
        job.done.set()
    desk.pipeline.close()


def test_the_next_batch_is_begun_before_the_one_before_has_ended(desk: Desk) -> None:
    keys = [desk.upload(1)]
    first = desk.pipeline.submit(keys[0])
    desk.wait_for_batches(1)
    keys.append(desk.upload(2))
    second = desk.pipeline.submit(keys[1])
    desk.wait_for_batches(1)
    assert not first.done()
    assert not second.done()
    for job in desk.device.jobs:
        job.done.set()
    assert first.result(SOON) is second.result(SOON) is None
    assert [desk.red_of(key) for key in keys] == pytest.approx([1 / 255, 2 / 255], abs=1e-3)


def test_no_more_batches_are_begun_than_the_device_has_room_for(desk: Desk) -> None:
    futures = [desk.pipeline.submit(desk.upload(shade)) for shade in range(1, 9)]
    desk.wait_for_batches(AHEAD)
    assert not desk.device.begun.acquire(timeout=0.05)
    desk.device.jobs[0].done.set()
    desk.wait_for_batches(1)
    assert len(desk.device.jobs) == AHEAD + 1
    assert not all(future.done() for future in futures)


def test_the_embeddings_of_a_batch_are_stored_while_the_next_one_runs(desk: Desk) -> None:
    first = desk.pipeline.submit(desk.upload(1))
    desk.wait_for_batches(1)
    second = desk.pipeline.submit(desk.upload(2))
    desk.wait_for_batches(1)
    desk.device.jobs[0].done.set()
    assert first.result(SOON) is None
    assert not second.done()


def test_what_the_device_finds_later_fails_alone(desk: Desk) -> None:
    """The batch is begun without an error; its result is one. Then its images are run one by one."""
    blocking = [desk.pipeline.submit(desk.upload(shade)) for shade in (1, 2, 3, 4)]
    desk.wait_for_batches(AHEAD)
    good, bad = desk.pipeline.submit(desk.upload(20)), desk.pipeline.submit(desk.upload(POISON))
    desk.device.by_itself = True
    for job in desk.device.jobs:
        job.done.set()
    with pytest.raises(EncodeFailed, match="no good"):
        bad.result(SOON)
    assert [future.result(SOON) for future in (good, *blocking)] == [None] * 5


def test_the_time_of_batches_that_overlap_is_counted_once(desk: Desk) -> None:
    began = time.perf_counter()
    futures = [desk.pipeline.submit(desk.upload(shade)) for shade in (1, 2, 3)]
    desk.wait_for_batches(2)
    threading.Event().wait(0.05)  # both batches last so long at least
    for job in desk.device.jobs:
        job.done.set()
    for future in futures:
        future.result(SOON)
    counted = desk.metrics.registry.get_sample_value("sam_worker_batch_seconds_sum")
    assert counted is not None
    assert 0.05 <= counted <= time.perf_counter() - began


def test_closing_waits_for_what_the_device_still_does() -> None:
    desk = Desk()
    desk.device.by_itself = True
    done = desk.pipeline.submit(desk.upload(1))
    desk.wait_for_batches(1)
    desk.pipeline.close()
    assert done.done()
    assert desk.device.collected == [[1]]
