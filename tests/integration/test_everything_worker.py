"""Real mask workers on a real server: one job for many requests, crashes, stops, signals, missing embeddings."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from PIL import Image
from rq import Queue
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from encoder_worker.backends.fake.encoder import FakeEncoder
from encoder_worker.encoding.encode import EncodeImage
from prompt_api.everything.job.key import EVERYTHING_JOB, EverythingKey, everything_queue
from prompt_api.everything.job.queue import RqEverythingQueue
from prompt_api.everything.job.worker import MaskWorker
from prompt_api.everything.options import EverythingOptions
from prompt_api.http.app import create_app
from prompt_api.models.fake.decoder import FakeDecoder
from prompt_api.wiring import assemble
from shared.contract.errors import EverythingFailed
from shared.contract.keys import EmbeddingKey
from shared.contract.models import FAKE
from shared.contract.settings import Settings
from shared.events.redis_events import RedisEvents
from shared.queue.interface import JobStatus
from shared.queue.rq_queue import ERROR, RqEncodeQueue
from shared.redis.connections import request_client, worker_client
from shared.rq_worker.pace import Pace
from shared.store.redis_store import RedisStore
from tests.support.memory_events import MemoryEvents

SOON = 120.0
"""Seconds after which a test gives up. No test asserts a time."""

ROOT = Path(__file__).parents[2]
SLOW = str(Path(__file__).with_name("slow_mask_worker.py"))
FEW: dict[str, Any] = {"points_per_side": 8, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.0}
LONG: dict[str, Any] = FEW | {"points_per_side": 128}
"""More batches than a slow mask worker decodes within `SOON`."""


class Service:
    """The API on a real Redis, inside this process, with mask workers as processes."""

    def __init__(self, folder: Path, url: str, stack: ExitStack) -> None:
        self.tally = folder / "tally"
        self._log = folder / "mask-worker.log"
        self._url, self._stack = url, stack
        self.settings = Settings(model=FAKE.name, cache_url=url)
        client = stack.enter_context(request_client(url, 30))
        client.flushdb()
        self.store = RedisStore(client)
        self.events = RedisEvents(client)
        stack.callback(self.events.close)
        self.queue = RqEverythingQueue(client, self.settings)
        self.app = create_app(
            assemble(
                self.settings,
                models=(FAKE,),
                decoders={FAKE.name: FakeDecoder()},
                decoder_files={},
                store=self.store,
                queue=RqEncodeQueue(client, self.settings),
                everything_jobs=self.queue,
                events=self.events,
            )
        )
        self._encode = EncodeImage(
            store=self.store, encoder=FakeEncoder(), events=self.events, dtype="auto", ttl=600, max_pixels=1_000_000
        )

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start a mask worker: a slow one with `arguments`, otherwise the real one."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SAM_")}
        environ |= {"PYTHONPATH": str(ROOT), "SAM_MODEL": FAKE.name, "SAM_CACHE_URL": self._url, **settings}
        command = [SLOW, *arguments, str(self.tally)] if arguments else ["-m", "prompt_api.everything"]
        log = self._stack.enter_context(self._log.open("ab"))
        process = subprocess.Popen([sys.executable, *command], env=environ, cwd=ROOT, stderr=log)
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    def upload(self, shade: int = 40) -> str:
        file = io.BytesIO()
        image = Image.new("RGB", (160, 120), (20, 90, 160))
        image.paste((200, shade, 30), (40, 30, 90, 80))
        image.save(file, "PNG")
        answer = self.app.test_client().post("/v1/images", data=file.getvalue())
        assert answer.status_code == 202, answer.text
        return str(answer.json["image_id"])  # type: ignore[index]  # checked above

    def encode(self, image_id: str) -> None:
        """Do what an encode worker does."""
        self._encode(EmbeddingKey.of(image_id, FAKE))

    def ready(self, shade: int = 40) -> str:
        image_id = self.upload(shade)
        self.encode(image_id)
        return image_id

    def ask(self, image_id: str, options: dict[str, Any] | None = None) -> Any:
        options = FEW if options is None else options
        answer = self.app.test_client().post(f"/v1/images/{image_id}/everything", json=options)
        assert answer.status_code in (200, 202), answer.text
        return answer.json

    def key(self, image_id: str, options: dict[str, Any] | None = None) -> EverythingKey:
        return EverythingKey.of(image_id, FAKE, EverythingOptions.of(FEW if options is None else options))

    def job(self, body: Any) -> Any:
        return self.app.test_client().get(body["links"]["self"]).json

    def wait_for(self, body: Any, what: Callable[[Any], bool]) -> Any:
        """Return the job as soon as `what` is true of it."""
        deadline = time.monotonic() + SOON
        key = EverythingKey.of_job(self._arguments(body))
        with self.events.watch(key) as watch:
            while not what(found := self.job(body)):
                assert time.monotonic() < deadline, f"{found}\n{self.log}"
                watch.wait(0.5)
        return found

    def done(self, body: Any) -> Any:
        found = self.wait_for(body, lambda job: job["status"] in ("done", "failed", "stopped"))
        assert found["status"] == "done", f"{found['error']}\n{self.log}"
        return found

    def decoding(self, body: Any) -> Any:
        """Return the job as soon as a mask worker has decoded some of its points."""
        return self.wait_for(body, lambda job: job["status"] == "running" and job["progress"] > 0)

    @property
    def starts(self) -> int:
        return len(self.tally.read_text().splitlines()) if self.tally.exists() else 0

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def _arguments(self, body: Any) -> tuple[str, ...]:
        for options in (FEW, LONG):
            key = self.key(body["image_id"], options)
            if key.name == body["job"]:
                return key.job_arguments
        raise AssertionError("asked with other options")


@pytest.fixture
def service(valkey_url: str, tmp_path: Path) -> Iterator[Service]:
    with ExitStack() as stack:
        yield Service(tmp_path, valkey_url + "/9", stack)


def test_ten_requests_at_once_are_one_job(service: Service) -> None:
    image_id = service.ready()
    with ThreadPoolExecutor(10) as pool:
        asked = list(pool.map(lambda _: service.ask(image_id), range(10)))
    assert len({body["job"] for body in asked}) == 1
    service.start("0")
    masks = service.done(asked[0])["masks"]
    assert masks
    assert service.starts == 1
    assert service.ask(image_id)["masks"] == masks
    assert service.starts == 1


def test_a_killed_mask_workers_job_is_done_by_another_with_the_same_masks(service: Service) -> None:
    image_id = service.ready()
    slow = service.start("0.5")
    asked = service.ask(image_id)
    so_far = service.decoding(asked)
    assert 0 < so_far["progress"] < 1
    slow.kill()
    slow.wait()
    service.start("0")
    masks = service.done(asked)["masks"]
    assert service.starts == 2
    service.store.delete(service.key(image_id).result_key)
    service.queue.forget(service.key(image_id))
    assert service.done(service.ask(image_id))["masks"] == masks


def test_a_running_job_that_is_stopped_makes_room_for_the_next(service: Service) -> None:
    image_id = service.ready()
    service.start("0.2", SAM_EVERYTHING_THREADS="1")
    long = service.ask(image_id, LONG)
    service.decoding(long)
    assert service.app.test_client().delete(long["links"]["self"]).status_code == 204
    assert service.job(long)["status"] == "stopped"
    service.done(service.ask(image_id))
    assert service.job(long)["status"] == "stopped"
    assert "stopped" in service.log


def test_a_deleted_image_ends_its_running_job(service: Service) -> None:
    one, two = service.ready(40), service.ready(200)
    service.start("0.2", SAM_EVERYTHING_THREADS="1")
    long = service.ask(one, LONG)
    service.decoding(long)
    assert service.app.test_client().delete(f"/v1/images/{one}").status_code == 204
    service.done(service.ask(two))
    key = service.key(one, LONG)
    for name in (key.result_key, key.progress_key, key.asked_key):
        assert not service.store.exists(name)


def test_a_mask_worker_waits_for_the_embedding(service: Service) -> None:
    image_id = service.upload()
    service.start()
    asked = service.ask(image_id)
    assert service.wait_for(asked, lambda job: job["status"] == "running")["progress"] == 0
    service.encode(image_id)
    assert service.done(asked)["masks"]


def test_a_mask_worker_that_is_told_to_stop_hands_its_job_back(service: Service) -> None:
    image_id = service.ready()
    asked = service.ask(image_id, LONG)
    worker = service.start("0.2", SAM_EVERYTHING_THREADS="1")
    service.decoding(asked)
    worker.send_signal(signal.SIGTERM)  # lets the job run for 15 s
    with suppress(subprocess.TimeoutExpired):
        worker.wait(1.5)  # RQ takes two signals within a second for one
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(SOON) == 0
    assert service.job(asked)["status"] == "queued"


@pytest.fixture
def on_redis(valkey_url: str, own_signal_handlers: None) -> Iterator[redis.Redis]:
    with worker_client(valkey_url + "/9") as client:
        client.flushdb()
        yield client
        client.flushdb()


KEY = EverythingKey.of("a" * 64, FAKE, EverythingOptions())


def mask_worker(client: redis.Redis, search: Callable[[EverythingKey], None]) -> MaskWorker:
    name = everything_queue(FAKE.name, FAKE.weights_digest)
    return MaskWorker(name, connection=client, search=search, events=MemoryEvents(), pace=Pace())


def test_an_image_that_kills_every_mask_worker_is_given_up_after_the_cap(on_redis: redis.Redis) -> None:
    queue, searched = RqEverythingQueue(on_redis, Settings()), list[EverythingKey]()
    queue.submit(KEY)
    for _ in range(3):
        dying = mask_worker(on_redis, searched.append)
        popped = dying.queue_class.dequeue_any(
            dying.queues, None, connection=on_redis, job_class=dying.job_class, serializer=JSONSerializer
        )
        assert popped is not None
        execution = dying.prepare_execution(popped[0])
        dying.prepare_job_execution(popped[0], remove_from_intermediate_queue=True)
        on_redis.zadd(StartedJobRegistry(queue=dying.queues[0]).key, {execution.composite_key: 1})  # its lease is over
        mask_worker(on_redis, searched.append).run_maintenance_tasks()
    state = queue.state(KEY)
    assert (state.status, state.error_code) == (JobStatus.FAILED, "everything-failed")
    assert "died" in str(state.error_detail)
    mask_worker(on_redis, searched.append).work(burst=True)
    assert searched == []


def test_a_job_that_hangs_is_ended_at_its_time_limit(on_redis: redis.Redis) -> None:
    queue = RqEverythingQueue(on_redis, Settings(everything_timeout=1, job_retries=0))

    def hang(key: EverythingKey) -> None:
        signal.pause()  # until SIGALRM

    queue.submit(KEY)
    mask_worker(on_redis, hang).work(burst=True)
    state = queue.state(KEY)
    assert (state.status, state.error_code) == (JobStatus.FAILED, "everything-failed")
    assert state.error_detail == "the search for masks took longer than its time limit"


def test_a_failed_job_is_tried_again_and_then_given_up(on_redis: redis.Redis) -> None:
    queue, tries = RqEverythingQueue(on_redis, Settings(job_retries=2)), list[EverythingKey]()

    def fail(key: EverythingKey) -> None:
        tries.append(key)
        raise EverythingFailed("it is too hard")

    queue.submit(KEY)
    mask_worker(on_redis, fail).work(burst=True)
    assert tries == [KEY] * 3
    state = queue.state(KEY)
    assert (state.status, state.error_code, state.error_detail) == (
        JobStatus.FAILED,
        "everything-failed",
        "it is too hard",
    )


def test_a_job_that_no_api_made_is_refused(on_redis: redis.Redis) -> None:
    searched = list[EverythingKey]()
    worker = mask_worker(on_redis, searched.append)
    queue = Queue(worker.queues[0].name, connection=on_redis, serializer=JSONSerializer)
    foreign = [
        queue.enqueue("os.system", "true"),
        queue.enqueue(EVERYTHING_JOB, *KEY.job_arguments[:4]),
        queue.enqueue(EVERYTHING_JOB, "../a", *KEY.job_arguments[1:]),
        queue.enqueue(EVERYTHING_JOB, *KEY.job_arguments[:4], {}),
    ]
    worker.work(burst=True)
    assert searched == []
    for job in foreign:
        failed = worker.job_class.fetch(job.id, connection=on_redis, serializer=JSONSerializer)
        assert failed.get_status() == "failed"
        assert failed.meta[ERROR]["code"] == "everything-failed"
