"""Jobs whose worker dies, and jobs that the worker refuses to run, on a real server."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
import redis
from redis.client import PubSub
from rq import Callback, Queue, Worker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from encoder_worker.alive import is_alive
from encoder_worker.encoding.device_lost import DeviceLost
from encoder_worker.rq.worker import Encode, EncodeWorker
from shared.contract.errors import InvalidImage, StoreUnavailable
from shared.contract.keys import ENCODE_JOB, EVENTS, EmbeddingKey, queue_name
from shared.contract.models import FAKE
from shared.contract.region import Region
from shared.contract.settings import Settings
from shared.events.interface import message_of
from shared.queue.interface import ABSENT, JobState, JobStatus
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.connections import worker_client
from shared.rq_worker.job import ServiceJob
from shared.rq_worker.pace import Pace
from shared.rq_worker.recovery import RecoveringIntermediateQueue
from tests.integration.signals import stop_at_once, stop_between_command_and_reply
from tests.support.memory_events import MemoryEvents

KEY = EmbeddingKey.of(hashlib.sha256(b"photo").hexdigest(), FAKE)
KEYS = {"image": KEY, "region": EmbeddingKey.of(KEY.image_id, FAKE, Region(7, 0, 700, 600))}
QUEUE = queue_name(FAKE.name, FAKE.weights_digest)


class Scene:
    """One Redis, its encode queue, and its workers."""

    def __init__(self, client: redis.Redis) -> None:
        self.redis = client
        self.queue = RqEncodeQueue(self.redis, Settings(job_retries=2))
        self.events = MemoryEvents()
        self.encoded: list[EmbeddingKey] = []

    def worker(self, encode: Encode | None = None, pace: Pace | None = None) -> EncodeWorker:
        return EncodeWorker(
            QUEUE, connection=self.redis, encode=encode or self.encoded.append, events=self.events, pace=pace
        )

    def work(self, encode: Encode | None = None) -> None:
        self.worker(encode).work(burst=True)

    def die_after_pop(self) -> None:
        """Leave the state of a worker that was killed after it took a job and before it recorded that."""
        popped = Queue.dequeue_any(self.worker().queues, None, connection=self.redis, serializer=JSONSerializer)
        assert popped is not None

    def die_mid_job(self) -> None:
        """Leave the state of a worker that was killed while it encoded and whose lease has expired."""
        worker = self.worker()
        popped = worker.queue_class.dequeue_any(
            worker.queues, None, connection=self.redis, job_class=worker.job_class, serializer=JSONSerializer
        )
        assert popped is not None
        job, _ = popped
        execution = worker.prepare_execution(job)
        worker.prepare_job_execution(job, remove_from_intermediate_queue=True)
        assert job.get_status() == "started"
        self.redis.zadd(StartedJobRegistry(queue=worker.queues[0]).key, {execution.composite_key: 1})

    def die_mid_job_of(self, key: EmbeddingKey) -> None:
        """As `die_mid_job`, whatever else is in the queue."""
        worker = self.worker()
        self.redis.lrem(worker.queues[0].key, 0, key.job_id)
        job = worker.job_class.fetch(key.job_id, connection=self.redis, serializer=JSONSerializer)
        execution = worker.prepare_execution(job)
        worker.prepare_job_execution(job, remove_from_intermediate_queue=True)
        self.redis.zadd(StartedJobRegistry(queue=worker.queues[0]).key, {execution.composite_key: 1})

    def job_keys(self) -> set[str]:
        """Return all keys except RQ's registrations of queues and workers."""
        names = {name.decode() for name in self.redis.scan_iter()}
        return {name for name in names if not name.startswith(("rq:queues", "rq:worker"))}

    def lasting_job_keys(self) -> set[str]:
        return {name for name in self.job_keys() if self.redis.ttl(name) < 0}


@pytest.fixture
def scene(valkey_url: str, own_signal_handlers: None) -> Iterator[Scene]:
    with worker_client(valkey_url + "/12") as client:
        client.flushdb()
        yield Scene(client)
        client.flushdb()


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_job_whose_worker_died_is_done_by_the_next_worker(scene: Scene, key: EmbeddingKey) -> None:
    scene.queue.submit(key)
    scene.die_mid_job()
    scene.work()
    assert scene.encoded == [key]
    assert scene.queue.state(key).status is JobStatus.DONE


def test_an_image_that_kills_every_worker_is_given_up_after_the_cap(scene: Scene) -> None:
    scene.queue.submit(KEY)
    for _ in range(3):
        scene.die_mid_job()
        scene.worker().run_maintenance_tasks()
    state = scene.queue.state(KEY)
    assert (state.status, state.error_code) == (JobStatus.FAILED, "encode-failed")
    assert "died" in str(state.error_detail)
    scene.work()
    assert scene.encoded == []


def test_a_job_popped_but_never_started_is_put_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecoveringIntermediateQueue, "grace", RecoveringIntermediateQueue.grace * 0)
    scene.queue.submit(KEY)
    scene.die_after_pop()
    scene.worker().run_maintenance_tasks()  # sees the job for the first time, so its worker still gets time
    assert scene.encoded == []
    scene.work()
    assert scene.encoded == [KEY]


def test_a_worker_killed_during_maintenance_stops_that_of_others_for_seconds_only(scene: Scene) -> None:
    queue = scene.worker().queues[0]
    assert queue.acquire_maintenance_lock()
    assert not queue.acquire_maintenance_lock()
    assert 0 < scene.redis.ttl(queue.registry_cleaning_key) <= 15


def test_the_lease_of_a_running_job_is_renewed(scene: Scene) -> None:
    """If heartbeats come more often than the lease expires, a job may run for any time."""
    registry = StartedJobRegistry(QUEUE, connection=scene.redis)
    renewed = threading.Event()

    def encode(key: EmbeddingKey) -> None:
        (member,) = scene.redis.zrange(registry.key, 0, -1)
        scene.redis.zadd(registry.key, {member: 1})
        for _ in range(500):
            if scene.redis.zscore(registry.key, member) > 1:
                renewed.set()
                return
            threading.Event().wait(0.01)

    scene.queue.submit(KEY)
    scene.worker(encode, Pace(beat=0.01)).work(burst=True)
    assert renewed.is_set()


@pytest.mark.parametrize("die", [Scene.die_after_pop, Scene.die_mid_job], ids=["popped", "running"])
def test_forgetting_the_job_of_a_dead_worker_leaves_nothing(scene: Scene, die: Callable[[Scene], None]) -> None:
    scene.queue.submit(KEY)
    die(scene)
    scene.queue.forget(KEY)
    assert scene.queue.state(KEY) == ABSENT
    assert scene.job_keys() == set()


@pytest.mark.parametrize("error", [None, InvalidImage("text"), StoreUnavailable("no cache")])
def test_forgetting_a_job_leaves_nothing_however_it_ended(scene: Scene, error: Exception | None) -> None:
    def encode(key: EmbeddingKey) -> None:
        if error is not None:
            raise error

    scene.queue.submit(KEY)
    scene.work(encode)
    scene.queue.forget(KEY)
    assert scene.lasting_job_keys() == set()
    assert scene.queue.state(KEY) == ABSENT


def test_a_job_forgotten_while_it_runs_leaves_nothing_that_lasts(scene: Scene) -> None:
    scene.queue.submit(KEY)
    scene.work(scene.queue.forget)
    assert scene.lasting_job_keys() == set()


@pytest.fixture
def news(scene: Scene) -> Iterator[PubSub]:
    """The events that Redis itself publishes when a failure is recorded, apart from the worker's own events."""
    with scene.redis.pubsub() as subscription:
        subscription.subscribe(EVENTS)
        assert subscription.get_message(timeout=60)
        yield subscription


def status_in(news: PubSub) -> object:
    message = news.get_message(timeout=60)
    assert message is not None
    return json.loads(message["data"])["status"]


def test_waiters_are_told_of_a_retry_and_of_the_end(scene: Scene, news: PubSub) -> None:
    def encode(key: EmbeddingKey) -> None:
        raise StoreUnavailable("no cache")

    scene.queue.submit(KEY)
    scene.work(encode)
    assert [status for _, status in scene.events.published] == ["queued", "queued"]
    assert status_in(news) == "failed"


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_waiters_are_told_when_maintenance_gives_an_image_up(scene: Scene, news: PubSub, key: EmbeddingKey) -> None:
    scene.queue.submit(key)
    for _ in range(3):
        scene.die_mid_job()
        scene.worker().run_maintenance_tasks()
    message = news.get_message(timeout=60)
    assert message is not None
    assert message["data"].decode() == message_of(key, "failed")


def test_a_job_that_outlasts_a_stop_is_put_back_at_no_cost(scene: Scene) -> None:
    def encode(key: EmbeddingKey) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    scene.queue = RqEncodeQueue(scene.redis, Settings(job_retries=0))
    scene.queue.submit(KEY)
    scene.worker(encode, Pace(beat=0.1, stop=1.1)).work(burst=True)
    assert scene.queue.state(KEY) == JobState(JobStatus.QUEUED, position=0)


def test_a_stop_that_was_lost_on_its_way_ends_the_worker_before_the_next_job(scene: Scene) -> None:
    scene.queue.submit(KEY)
    worker = scene.worker()
    with suppress(Exception):  # like a destructor, in which exceptions are lost
        worker.request_stop(signal.SIGTERM, None)
    worker.work()
    assert scene.encoded == []
    assert scene.queue.state(KEY).status is JobStatus.QUEUED


def test_an_encoding_that_hangs_is_ended_and_is_not_the_images_fault(scene: Scene) -> None:
    def encode(key: EmbeddingKey) -> None:
        try:
            time.sleep(60)
        except Exception as error:
            raise InvalidImage("cannot be decoded") from error

    scene.queue = RqEncodeQueue(scene.redis, Settings(job_timeout=1, job_retries=0))
    scene.queue.submit(KEY)
    scene.work(encode)
    state = scene.queue.state(KEY)
    assert (state.status, state.error_code) == (JobStatus.FAILED, "encode-failed")
    assert "time limit" in str(state.error_detail)


def test_an_encoding_cut_off_by_a_second_signal_is_put_back_even_without_retries(scene: Scene) -> None:
    def encode(key: EmbeddingKey) -> None:
        stop_at_once()
        scene.encoded.append(key)

    scene.queue = RqEncodeQueue(scene.redis, Settings(job_retries=0))
    scene.queue.submit(KEY)
    scene.work(encode)
    assert scene.encoded == []
    assert scene.queue.state(KEY) == JobState(JobStatus.QUEUED, position=0)


def test_a_worker_of_one_image_at_a_time_ends_too_when_its_device_is_lost(scene: Scene) -> None:
    other = replace(KEY, image_id=KEY.image_id[::-1])
    lost = 0

    def encode(key: EmbeddingKey) -> None:
        if key == KEY:
            raise DeviceLost("the device has stopped working")
        scene.encoded.append(key)

    for key in (KEY, other):
        scene.queue.submit(key)
    while scene.queue.state(KEY).status is JobStatus.QUEUED:
        worker = scene.worker(encode)
        with pytest.raises(DeviceLost):
            worker.work(burst=True)
        assert not worker.stopped
        lost += 1
        assert lost <= 4
    assert lost == 1 + 3
    assert scene.queue.state(KEY).error_code == "encode-failed"
    assert scene.queue.state(other).status is JobStatus.QUEUED  # none of them took anything more
    scene.worker(encode).work(burst=True)
    assert scene.encoded == [other]


def test_a_stop_costs_none_of_the_retries(scene: Scene) -> None:
    for _ in range(3):
        scene.queue.submit(KEY)
        scene.work(lambda key: stop_at_once())
        (job,) = Queue(QUEUE, connection=scene.redis, serializer=JSONSerializer).jobs
        assert job.retries_left == 2


def test_a_worker_registers_again_with_a_queue_that_came_back_empty(scene: Scene) -> None:
    """Otherwise its liveness probe ends the worker although it works."""

    def encode(key: EmbeddingKey) -> None:
        scene.redis.flushdb()
        for _ in range(6000):  # a minute
            if is_alive(scene.redis, FAKE.name, socket.gethostname()):
                break
            time.sleep(0.01)
        else:
            pytest.fail("the worker did not register again")
        assert Worker.count(queue=Queue(QUEUE, connection=scene.redis)) == 1
        scene.encoded.append(key)

    scene.queue.submit(KEY)
    scene.worker(encode, Pace(beat=0.05)).work(burst=True)
    assert scene.encoded == [KEY]


def test_a_second_signal_on_the_way_to_the_encoder_cuts_off_no_reply_of_redis(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RQ would raise between a command and its reply. The next command would then read the wrong reply."""
    scene.queue = RqEncodeQueue(scene.redis, Settings(job_retries=0))
    scene.queue.submit(KEY)
    worker = scene.worker()

    take = worker._books.take

    def take_and_be_stopped(most: int, popped: str = "") -> list[ServiceJob] | None:
        jobs = take(most, popped)
        if jobs:
            stop_between_command_and_reply(scene.redis)
        return jobs

    monkeypatch.setattr(worker._books, "take", take_and_be_stopped)
    worker.work(burst=True)
    assert scene.encoded == []
    assert scene.queue.state(KEY) == JobState(JobStatus.QUEUED, position=0)


def test_no_connection_is_used_again_after_a_stop_while_idle(scene: Scene) -> None:
    """A stop while idle may raise at any point. In this test it raises between a command and its reply."""
    worker = scene.worker()

    def stop() -> bool:
        connection = scene.redis.connection_pool.get_connection()
        connection.send_command("BLPOP", "nothing", "0.2")
        scene.redis.connection_pool.release(connection)
        raise StopRequested

    worker.check_for_suspension = lambda burst: stop()
    worker.work()
    assert scene.redis.hget(worker.key, "death") is not None


def test_no_other_function_is_imported_or_run(scene: Scene) -> None:
    foreign = Queue(QUEUE, connection=scene.redis, serializer=JSONSerializer)
    job = foreign.enqueue_call("os.getpid", job_id="foreign", failure_ttl=60)
    scene.work()
    assert job.get_status() == "failed"
    assert scene.encoded == []


def test_no_callback_is_imported_or_run(scene: Scene) -> None:
    foreign = Queue(QUEUE, connection=scene.redis, serializer=JSONSerializer)
    foreign.enqueue_call(
        ENCODE_JOB,
        args=KEY.job_arguments,
        job_id=KEY.job_id,
        result_ttl=5,
        on_success=Callback("no_such_module.function"),
        on_failure=Callback("no_such_module.function"),
    )
    scene.work()
    assert scene.encoded == [KEY]
    assert scene.queue.state(KEY) == JobState(JobStatus.DONE)


OTHER = EmbeddingKey.of(hashlib.sha256(b"damaged").hexdigest(), FAKE)
DAMAGE: dict[str, Callable[[redis.Redis, str], object]] = {
    "an unknown status": lambda client, job: client.hset(job, "status", "dancing"),
    "a time that is none": lambda client, job: client.hset(job, "enqueued_at", "yesterday"),
    "a number that is none": lambda client, job: client.hset(job, "retries_left", "1e400"),
    "a number of 5000 digits": lambda client, job: client.hset(job, "timeout", "9" * 5000),
    "a time limit of ages": lambda client, job: client.hset(job, "timeout", "99999999999999"),
    "a time limit below zero": lambda client, job: client.hset(job, "timeout", "-5"),
    "retries without end": lambda client, job: client.hset(job, "retries_left", "99999999999"),
    "dependencies nested deep": lambda client, job: client.hset(job, "dependency_ids", "[" * 100_000),
    "text that is none": lambda client, job: client.hset(job, "origin", b"\xff\xfe"),
    "no data": lambda client, job: client.hdel(job, "data"),
    "not even a hash": lambda client, job: (client.delete(job), client.set(job, "text")),
}
damaged = pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)


def set_aside(scene: Scene) -> list[bytes]:
    return list(scene.redis.scan_iter(match="sam:damaged-job:*"))


@damaged
def test_a_damaged_job_does_not_stop_the_recovery_of_others(
    scene: Scene, damage: Callable[[redis.Redis, str], object], caplog: pytest.LogCaptureFixture
) -> None:
    scene.queue.submit(OTHER)
    scene.die_mid_job()
    damage(scene.redis, Job.key_for(OTHER.job_id))
    scene.queue.submit(KEY)
    scene.die_mid_job()
    worker = scene.worker()
    worker.run_maintenance_tasks()
    assert scene.queue.state(KEY).status is JobStatus.QUEUED
    assert set_aside(scene) == [f"sam:damaged-job:{OTHER.job_id}".encode()]
    assert 0 < scene.redis.ttl(set_aside(scene)[0]) <= 86_400
    assert damaged_jobs(worker) == 1
    assert OTHER.job_id in caplog.text
    assert scene.queue.state(OTHER) == ABSENT
    assert scene.queue.submit(OTHER)  # by whoever looks at the image next
    scene.work()
    assert scene.encoded == [KEY, OTHER]


@damaged
def test_a_damaged_job_that_waits_is_passed_over(scene: Scene, damage: Callable[[redis.Redis, str], object]) -> None:
    scene.queue.submit(OTHER)
    scene.queue.submit(KEY)
    damage(scene.redis, Job.key_for(OTHER.job_id))
    scene.work()
    assert scene.encoded == [KEY]
    assert len(set_aside(scene)) == 1


@damaged
def test_a_damaged_job_between_pop_and_start_stops_nothing(
    scene: Scene, damage: Callable[[redis.Redis, str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecoveringIntermediateQueue, "grace", RecoveringIntermediateQueue.grace * 0)
    scene.queue.submit(OTHER)
    scene.queue.submit(KEY)
    for _ in range(2):
        scene.die_after_pop()
    damage(scene.redis, Job.key_for(OTHER.job_id))
    scene.worker().run_maintenance_tasks()
    scene.work()
    assert scene.encoded == [KEY]


def test_entries_that_are_no_jobs_stop_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecoveringIntermediateQueue, "grace", RecoveringIntermediateQueue.grace * 0)
    queue = scene.worker().queues[0]
    started = StartedJobRegistry(QUEUE, connection=scene.redis).key
    for entry in (b"\xff", b"", b"no job", b"a:b:c", b"a" * 10_000):
        scene.redis.zadd(started, {entry: 1})
        scene.redis.rpush(queue.key, entry)
        scene.redis.rpush(queue.intermediate_queue.key, entry)
    scene.redis.sadd(f"rq:workers:{QUEUE}", b"\xff")
    scene.redis.set(queue.failed_job_registry.key, "not a set")
    scene.queue.submit(KEY)
    scene.die_mid_job_of(KEY)
    scene.work()
    assert scene.encoded == [KEY]
    assert scene.redis.zcard(started) == 0
    scene.worker().run_maintenance_tasks()
    assert scene.redis.llen(queue.intermediate_queue.key) == 0


def test_a_broken_meta_costs_the_job_nothing(scene: Scene) -> None:
    def encode(key: EmbeddingKey) -> None:
        raise InvalidImage("it is broken")

    scene.queue.submit(KEY)
    scene.redis.hset(Job.key_for(KEY.job_id), "meta", b"\xff{")
    scene.work(encode)
    assert scene.queue.state(KEY).error_code == "invalid-image"


def damaged_jobs(worker: EncodeWorker) -> float:
    return worker._counts.registry.get_sample_value("sam_worker_damaged_jobs_total") or 0.0


def test_a_lack_of_memory_is_the_workers_failure_and_soon_forgotten(scene: Scene) -> None:
    attempts = []

    def encode(key: EmbeddingKey) -> None:
        attempts.append(key)
        raise MemoryError

    scene.queue.submit(KEY)
    scene.worker(encode, Pace(breather=0)).work(burst=True)
    assert len(attempts) == 3
    state = scene.queue.state(KEY)
    assert (state.status, state.error_code) == (JobStatus.FAILED, "overloaded")
    assert 0 < scene.redis.ttl(Job.key_for(KEY.job_id)) <= 10


def test_after_a_lack_of_memory_another_worker_gets_the_job(scene: Scene) -> None:
    """The one that lacked it waits: here for longer than the other takes."""

    def encode(key: EmbeddingKey) -> None:
        worker._take_breath = lambda: elsewhere.work(burst=True)
        raise MemoryError

    elsewhere = scene.worker()
    worker = scene.worker(encode)
    scene.queue.submit(KEY)
    worker.work(burst=True)
    assert scene.encoded == [KEY]
