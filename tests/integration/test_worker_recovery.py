"""What becomes of a job whose worker dies, and what the worker refuses to run, on a real server."""

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

import pytest
import redis
from redis.client import PubSub
from rq import Callback, Queue, Worker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from encoder_worker.alive import is_alive
from encoder_worker.rq.pace import Pace
from encoder_worker.rq.recovery import RecoveringIntermediateQueue
from encoder_worker.rq.worker import Encode, EncodeWorker
from shared.contract.errors import InvalidImage, StoreUnavailable
from shared.contract.keys import ENCODE_JOB, EVENTS, EmbeddingKey, queue_name
from shared.contract.models import FAKE
from shared.contract.settings import Settings
from shared.queue.interface import ABSENT, JobState, JobStatus
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.connections import worker_client
from tests.integration.signals import stop_at_once, stop_between_command_and_reply
from tests.support.memory_events import MemoryEvents

KEY = EmbeddingKey.of(hashlib.sha256(b"photo").hexdigest(), FAKE)
QUEUE = queue_name(FAKE.name, FAKE.weights_digest)


class Scene:
    """One Redis, its encode queue, and workers that come and go."""

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
        """As a worker that is killed with a job in its hands, before it has said so."""
        popped = Queue.dequeue_any(self.worker().queues, None, connection=self.redis, serializer=JSONSerializer)
        assert popped is not None

    def die_mid_job(self) -> None:
        """As a worker that is killed while it encodes, long enough ago for its lease to be over."""
        worker = self.worker()
        popped = worker.queue_class.dequeue_any(
            worker.queues, None, connection=self.redis, job_class=worker.job_class, serializer=JSONSerializer
        )
        assert popped is not None
        job, _ = popped
        execution = worker.prepare_execution(job)
        worker.prepare_job_execution(job, remove_from_intermediate_queue=True)
        assert self.queue.state(KEY).status is JobStatus.ENCODING
        self.redis.zadd(StartedJobRegistry(queue=worker.queues[0]).key, {execution.composite_key: 1})

    def job_keys(self) -> set[str]:
        """All keys but RQ's registrations of queues and workers."""
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


def test_a_job_whose_worker_died_is_done_by_the_next_worker(scene: Scene) -> None:
    scene.queue.submit(KEY)
    scene.die_mid_job()
    scene.work()
    assert scene.encoded == [KEY]
    assert scene.queue.state(KEY).status is JobStatus.DONE


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
    scene.worker().run_maintenance_tasks()  # sees it for the first time, and gives its worker a chance
    assert scene.encoded == []
    scene.work()
    assert scene.encoded == [KEY]


def test_a_worker_killed_during_maintenance_stops_that_of_others_for_seconds_only(scene: Scene) -> None:
    queue = scene.worker().queues[0]
    assert queue.acquire_maintenance_lock()
    assert not queue.acquire_maintenance_lock()
    assert 0 < scene.redis.ttl(queue.registry_cleaning_key) <= 15


def test_the_lease_of_a_running_job_is_renewed(scene: Scene) -> None:
    """With beats faster than a lease, a job may run for as long as it likes."""
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
    """What is published beside the worker's own events: by Redis itself, at the moment a failure is recorded."""
    with scene.redis.pubsub() as subscription:
        subscription.subscribe(EVENTS)
        assert subscription.get_message(timeout=5)
        yield subscription


def status_in(news: PubSub) -> object:
    message = news.get_message(timeout=5)
    assert message is not None
    return json.loads(message["data"])["status"]


def test_waiters_are_told_of_a_retry_and_of_the_end(scene: Scene, news: PubSub) -> None:
    def encode(key: EmbeddingKey) -> None:
        raise StoreUnavailable("no cache")

    scene.queue.submit(KEY)
    scene.work(encode)
    assert [status for _, status in scene.events.published] == ["queued", "queued"]
    assert status_in(news) == "failed"


def test_waiters_are_told_when_maintenance_gives_an_image_up(scene: Scene, news: PubSub) -> None:
    scene.queue.submit(KEY)
    for _ in range(3):
        scene.die_mid_job()
        scene.worker().run_maintenance_tasks()
    assert status_in(news) == "failed"


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
    with suppress(Exception):  # as in a destructor, which swallows what is raised in it
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


def test_a_stop_costs_none_of_the_retries(scene: Scene) -> None:
    for _ in range(3):
        scene.queue.submit(KEY)
        scene.work(lambda key: stop_at_once())
        (job,) = Queue(QUEUE, connection=scene.redis, serializer=JSONSerializer).jobs
        assert job.retries_left == 2


def test_a_worker_registers_again_with_a_queue_that_came_back_empty(scene: Scene) -> None:
    """Else its probe ends it, though it works."""

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
    """RQ would raise in the middle of what is said here, and the next command would read the reply to this one."""
    scene.queue = RqEncodeQueue(scene.redis, Settings(job_retries=0))
    scene.queue.submit(KEY)
    worker = scene.worker()

    def prepare(job: Job, remove_from_intermediate_queue: bool = False) -> None:
        EncodeWorker.prepare_job_execution(worker, job, remove_from_intermediate_queue)
        stop_between_command_and_reply(scene.redis)

    monkeypatch.setattr(worker, "prepare_job_execution", prepare)
    worker.work(burst=True)
    assert scene.encoded == []
    assert scene.queue.state(KEY) == JobState(JobStatus.QUEUED, position=0)


def test_no_connection_is_used_again_after_a_stop_while_idle(scene: Scene) -> None:
    """That stop is raised anywhere: here between a command and its reply."""
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
