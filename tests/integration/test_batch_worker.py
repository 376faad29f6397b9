"""Many RQ jobs in flight in one worker: each ends on its own, and none is lost when the worker stops or dies."""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import pytest
import redis
from rq import Queue
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import now

from encoder_worker.encoding.device_lost import DeviceLost
from encoder_worker.rq.batch_worker import BatchWorker
from shared.contract.errors import InvalidImage
from shared.contract.keys import EmbeddingKey, queue_name
from shared.contract.models import FAKE
from shared.contract.settings import Settings
from shared.queue.interface import JobStatus
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.connections import worker_client
from shared.rq_worker.job import ServiceJob
from shared.rq_worker.pace import Pace
from tests.integration.signals import stop_at_once, stop_between_command_and_reply
from tests.support.memory_events import MemoryEvents

QUEUE = queue_name(FAKE.name, FAKE.weights_digest)
KEYS = [EmbeddingKey.of(hashlib.sha256(bytes([number])).hexdigest(), FAKE) for number in range(8)]
SOON = 60.0


class ThreadedPipeline:
    """An `EncodePipeline` that encodes with a function of the test, six images at once."""

    capacity = 6
    batches = 4

    def __init__(self, encode: Callable[[EmbeddingKey], None]) -> None:
        self.alone = encode
        self._pool = ThreadPoolExecutor(self.capacity)

    def submit(self, key: EmbeddingKey) -> Future[None]:
        return self._pool.submit(self.alone, key)


class Scene:
    def __init__(self, client: redis.Redis) -> None:
        self.redis = client
        self.queue = RqEncodeQueue(client, Settings(job_retries=2))
        self.events = MemoryEvents()
        self.started = StartedJobRegistry(QUEUE, connection=client)

    def worker(self, encode: Callable[[EmbeddingKey], None], pace: Pace | None = None) -> BatchWorker:
        pipeline = ThreadedPipeline(encode)
        return BatchWorker(QUEUE, connection=self.redis, pipeline=pipeline, events=self.events, pace=pace)  # type: ignore[arg-type]  # a stand-in

    def die_mid_job(self) -> None:
        """Leave the state of a worker that was killed while it encoded and whose lease has expired."""
        dead = self.worker(lambda key: None)
        popped = dead.queue_class.dequeue_any(
            dead.queues, None, connection=self.redis, job_class=dead.job_class, serializer=JSONSerializer
        )
        assert popped is not None
        execution = dead.prepare_execution(popped[0])
        dead.prepare_job_execution(popped[0], remove_from_intermediate_queue=True)
        self.redis.zadd(self.started.key, {execution.composite_key: 1})

    def submit(self, *keys: EmbeddingKey) -> None:
        for key in keys:
            self.queue.submit(key)

    def statuses(self) -> list[JobStatus]:
        return [self.queue.state(key).status for key in KEYS]


@pytest.fixture
def scene(valkey_url: str, own_signal_handlers: None) -> Iterator[Scene]:
    with worker_client(valkey_url + "/10") as client:
        client.flushdb()
        yield Scene(client)
        client.flushdb()


def test_jobs_that_wait_run_together(scene: Scene) -> None:
    together = threading.Barrier(6)

    def encode(key: EmbeddingKey) -> None:
        if key in KEYS[:6]:
            together.wait(SOON)

    scene.submit(*KEYS)
    scene.worker(encode).work(burst=True)
    assert scene.statuses() == [JobStatus.DONE] * 8
    assert scene.started.count == 0


def test_a_job_that_comes_while_others_run_joins_them(scene: Scene) -> None:
    came = threading.Event()

    def encode(key: EmbeddingKey) -> None:
        if key == KEYS[0]:
            scene.submit(KEYS[1])
            assert came.wait(SOON)
        else:
            came.set()

    scene.submit(KEYS[0])
    scene.worker(encode).work(burst=True)
    assert scene.statuses()[:2] == [JobStatus.DONE] * 2


def test_one_that_fails_fails_alone_with_its_own_error(scene: Scene) -> None:
    def encode(key: EmbeddingKey) -> None:
        if key == KEYS[3]:
            raise InvalidImage("cut off")

    scene.submit(*KEYS)
    scene.worker(encode).work(burst=True)
    assert scene.statuses() == [JobStatus.DONE] * 3 + [JobStatus.FAILED] + [JobStatus.DONE] * 4
    assert scene.queue.state(KEYS[3]).error_code == "invalid-image"


def test_one_that_finds_too_little_memory_is_tried_again_alone_and_takes_nobody_along(scene: Scene) -> None:
    running: list[EmbeddingKey] = []
    alone: list[bool] = []

    def encode(key: EmbeddingKey) -> None:
        running.append(key)
        try:
            if key == KEYS[3]:
                alone.append(running == [key])
                if len(alone) == 1:
                    raise MemoryError
        finally:
            running.remove(key)

    scene.submit(*KEYS)
    scene.worker(encode, Pace(breather=0)).work(burst=True)
    assert scene.statuses() == [JobStatus.DONE] * 8
    assert alone[1:] == [True]


@pytest.mark.parametrize("readable", [True, False], ids=["readable", "unreadable"])
def test_a_foreign_job_among_them_is_refused_and_stops_nobody(scene: Scene, readable: bool) -> None:
    scene.submit(KEYS[0])
    foreign = Queue(QUEUE, connection=scene.redis, serializer=JSONSerializer)
    job = foreign.enqueue_call("os.getpid", job_id="foreign", failure_ttl=60)
    if not readable:
        scene.redis.hset(job.key, "data", b"cos\ngetpid\n(tR.")
    scene.submit(KEYS[1])
    scene.worker(lambda key: None).work(burst=True)
    assert job.get_status() == "failed"
    assert scene.statuses()[:2] == [JobStatus.DONE] * 2


def test_the_leases_of_all_are_renewed(scene: Scene) -> None:
    renewed = threading.Barrier(2)

    def encode(key: EmbeddingKey) -> None:
        (member,) = [name for name in scene.redis.zrange(scene.started.key, 0, -1) if key.job_id.encode() in name]
        scene.redis.zadd(scene.started.key, {member: 1})
        for _ in range(1_000):
            if scene.redis.zscore(scene.started.key, member) > 1:
                renewed.wait(SOON)
                return
            threading.Event().wait(0.01)

    scene.submit(*KEYS[:2])
    scene.worker(encode, Pace(beat=0.01)).work(burst=True)
    assert not renewed.broken
    assert scene.statuses()[:2] == [JobStatus.DONE] * 2


def test_a_job_begun_before_runs_after_the_others_and_alone(scene: Scene) -> None:
    scene.submit(KEYS[0])
    scene.die_mid_job()

    running: set[EmbeddingKey] = set()
    beside: list[int] = []
    lock = threading.Lock()

    def encode(key: EmbeddingKey) -> None:
        with lock:
            running.add(key)
        threading.Event().wait(0.05)
        with lock:
            if key == KEYS[0]:
                beside.append(len(running))
            running.remove(key)

    scene.submit(*KEYS[1:4])
    scene.worker(encode).work(burst=True)
    assert beside == [1]
    assert scene.statuses()[:4] == [JobStatus.DONE] * 4


def test_a_stop_lets_what_runs_finish_and_takes_nothing_new(scene: Scene) -> None:
    together = threading.Barrier(6, action=lambda: signal.raise_signal(signal.SIGTERM))  # before any of them goes on

    def encode(key: EmbeddingKey) -> None:
        together.wait(SOON)

    scene.submit(*KEYS)
    worker = scene.worker(encode)
    worker.work(burst=True)
    assert worker.stopped
    assert scene.statuses() == [JobStatus.DONE] * 6 + [JobStatus.QUEUED] * 2


def test_a_cold_stop_puts_all_back_at_no_cost_even_without_retries(scene: Scene) -> None:
    scene.queue = RqEncodeQueue(scene.redis, Settings(job_retries=0))
    scene.submit(*KEYS[:3])
    go_on, together = threading.Event(), threading.Barrier(3)

    def encode(key: EmbeddingKey) -> None:
        if together.wait(SOON) == 0:
            stop_at_once()
        assert go_on.wait(SOON)

    try:
        scene.worker(encode).work(burst=True)
    finally:
        go_on.set()
    assert scene.statuses()[:3] == [JobStatus.QUEUED] * 3
    assert scene.started.count == 0


def test_with_a_lost_device_all_go_back_at_no_cost_even_without_retries(scene: Scene) -> None:
    scene.queue = RqEncodeQueue(scene.redis, Settings(job_retries=0))
    scene.submit(*KEYS)
    go_on, together = threading.Event(), threading.Barrier(6)
    began: list[EmbeddingKey] = []

    def encode(key: EmbeddingKey) -> None:
        began.append(key)
        if together.wait(SOON) == 0:
            raise DeviceLost("the device has stopped working")
        assert go_on.wait(SOON)

    worker = scene.worker(encode)
    try:
        with pytest.raises(DeviceLost):
            worker.work(burst=True)
    finally:
        go_on.set()
    assert not worker.stopped
    assert scene.statuses() == [JobStatus.QUEUED] * 8
    assert scene.started.count == 0
    assert len(began) == 6


def test_an_image_that_breaks_devices_costs_no_other_image_a_retry_and_fails_after_its_own(scene: Scene) -> None:
    poison, lost = KEYS[2], 0
    together = threading.Barrier(6)
    retries_at: dict[EmbeddingKey, bytes | None] = {}

    def encode(key: EmbeddingKey) -> None:
        if lost == 0:
            together.wait(SOON)  # six are in flight, and each of them finds that the device is lost
        if lost == 0 or key == poison:
            raise DeviceLost("the device has stopped working")
        retries_at[key] = scene.redis.hget(f"rq:job:{key.job_id}", "retries_left")

    scene.submit(*KEYS)
    while JobStatus.QUEUED in scene.statuses():
        try:
            scene.worker(encode).work(burst=True)
        except DeviceLost:
            lost += 1
        assert lost <= 4
    assert lost == 1 + 3  # the first one was anybody's fault
    assert retries_at == {key: b"2" for key in KEYS if key != poison}
    failed = scene.queue.state(poison)
    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "encode-failed")


def test_a_cold_stop_on_the_way_to_the_encoder_cuts_off_no_reply_of_redis(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RQ would raise between a command and its reply. The next command would then read the wrong reply."""
    scene.queue = RqEncodeQueue(scene.redis, Settings(job_retries=0))
    scene.submit(*KEYS[:3])
    go_on = threading.Event()
    worker = scene.worker(lambda key: go_on.wait(SOON))  # type: ignore[arg-type, return-value]  # the worker ignores the result

    take = worker._books.take

    def take_and_be_stopped(most: int, popped: str = "") -> list[ServiceJob] | None:
        jobs = take(most, popped)
        if KEYS[1].job_id in [job.id for job in jobs or ()]:
            stop_between_command_and_reply(scene.redis)
        return jobs

    monkeypatch.setattr(worker._books, "take", take_and_be_stopped)
    try:
        worker.work(burst=True)
    finally:
        go_on.set()
    assert scene.statuses()[:3] == [JobStatus.QUEUED] * 3
    assert scene.started.count == 0


def test_jobs_forgotten_while_they_run_leave_nothing_that_lasts(scene: Scene) -> None:
    scene.submit(*KEYS[:4])
    scene.worker(scene.queue.forget).work(burst=True)
    names = {name.decode() for name in scene.redis.scan_iter()}
    jobs = {name for name in names if not name.startswith(("rq:queues", "rq:worker"))}
    assert {name for name in jobs if scene.redis.ttl(name) < 0} == set()


def test_lost_jobs_are_looked_for_while_the_queue_never_runs_dry(scene: Scene) -> None:
    lost, most = KEYS[0], 1_000
    scene.submit(lost)
    scene.die_mid_job()
    others: list[EmbeddingKey] = []
    before: list[int] = []

    def encode(key: EmbeddingKey) -> None:
        if key == lost:
            before.append(len(others))
        elif not before and len(others) < most:
            others.append(EmbeddingKey.of(hashlib.sha256(str(len(others)).encode()).hexdigest(), FAKE))
            scene.submit(others[-1])
            time.sleep(0.01)

    worker = scene.worker(encode, Pace(maintenance=0))
    worker.last_cleaned_at = now() + timedelta(seconds=1)  # no maintenance before the load starts
    scene.submit(*KEYS[1:4])
    worker.work(burst=True)
    (found_after,) = before
    assert found_after < most
    assert scene.queue.state(lost).status is JobStatus.DONE


def test_a_job_may_wait_for_the_batches_before_its_own(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six jobs of 0.8 s, one after the other, with a limit of 4 s: none hangs, and no clock comes near its end."""
    clocks: list[float] = []
    import faulthandler

    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda seconds, exit: clocks.append(seconds))  # noqa: A006
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: None)
    one_at_a_time = threading.Lock()

    def encode(key: EmbeddingKey) -> None:
        with one_at_a_time:
            time.sleep(0.8)

    scene.queue = RqEncodeQueue(scene.redis, Settings(job_timeout=4))
    scene.submit(*KEYS[:6])
    scene.worker(encode, Pace(grace=0)).work(burst=True)
    assert scene.statuses()[:6] == [JobStatus.DONE] * 6
    assert min(clocks) > 0.2


def test_a_job_that_hangs_is_ended_with_the_process(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer that ends the process is set for the job whose deadline is first, and it is off when nothing runs."""
    clocks: list[float] = []
    off: list[bool] = []
    import faulthandler

    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda seconds, exit: clocks.append(seconds))  # noqa: A006
    monkeypatch.setattr(faulthandler, "cancel_dump_traceback_later", lambda: off.append(True))
    scene.queue = RqEncodeQueue(scene.redis, Settings(job_timeout=30))
    scene.submit(*KEYS[:3])
    scene.worker(lambda key: None, Pace(grace=5)).work(burst=True)
    assert clocks
    assert all(0 < seconds <= 35 for seconds in clocks)
    assert len(off) == len(clocks)
