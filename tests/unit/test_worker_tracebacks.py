"""The memory of a failed image is freed at once, not only when the garbage collector runs."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import fakeredis
import numpy as np
import pytest
from numpy.typing import NDArray

from encoder_worker.rq.batch_worker import BatchWorker
from encoder_worker.rq.worker import EncodeWorker
from shared.contract.errors import EncodeFailed, InvalidImage
from shared.contract.keys import EmbeddingKey
from shared.queue.interface import JobStatus
from shared.rq_worker.tracebacks import release_locals
from tests.integration.test_worker_recovery import KEY, QUEUE, Scene


class Encoding:
    """Fails, with pixels in the frames of the error and of its cause.

    Attributes:
        alive: the pixels of each attempt.
    """

    def __init__(self) -> None:
        self.alive: list[weakref.ref[object]] = []

    def __call__(self, key: EmbeddingKey) -> None:
        pixels = self._pixels()
        try:
            self._decode()
        except OSError as error:
            raise InvalidImage(f"{key.image_id[:12]} of {pixels.shape} cannot be decoded") from error

    def _decode(self) -> None:
        pixels = self._pixels()
        raise OSError(f"broken data stream in {pixels.shape}")

    def _pixels(self) -> NDArray[np.uint8]:
        pixels = np.zeros((8, 8, 3), np.uint8)
        self.alive.append(weakref.ref(pixels))
        return pixels


class Pipeline:
    capacity = batches = 1

    def __init__(self, encode: Callable[[EmbeddingKey], None]) -> None:
        self.alone = encode
        self._threads = ThreadPoolExecutor(1)

    def submit(self, key: EmbeddingKey) -> Future[None]:
        return self._threads.submit(self.alone, key)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Turn the garbage collector off."""
    gc.disable()
    yield
    gc.enable()


def one_at_a_time(scene: Scene, encode: Encoding) -> EncodeWorker:
    return EncodeWorker(QUEUE, connection=scene.redis, encode=encode, events=scene.events)


def in_batches(scene: Scene, encode: Encoding) -> EncodeWorker:
    return BatchWorker(QUEUE, connection=scene.redis, pipeline=Pipeline(encode), events=scene.events)  # type: ignore[arg-type]  # a stand-in


@pytest.mark.parametrize("worker", [one_at_a_time, in_batches])
@pytest.mark.usefixtures("uncollected")
def test_a_worker_keeps_nothing_of_an_image_that_failed(worker: Callable[[Scene, Encoding], EncodeWorker]) -> None:
    scene, encode = Scene(fakeredis.FakeRedis()), Encoding()
    scene.queue.submit(KEY)
    worker(scene, encode).work(burst=True)
    assert scene.queue.state(KEY).status is JobStatus.FAILED
    assert len(encode.alive) == 2
    assert all(pixels() is None for pixels in encode.alive)


@pytest.mark.usefixtures("uncollected")
def test_an_error_among_its_own_causes_is_released_too() -> None:
    error = EncodeFailed("first")
    error.__context__ = OSError("second")
    error.__context__.__context__ = error
    release_locals(error)
    release_locals(None)
