"""The scripts that take and end jobs: they leave what RQ leaves, also for a worker that is killed at any command."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import redis
from redis.connection import AbstractConnection
from rq import SimpleWorker
from rq.executions import Execution
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.suspension import resume, suspend
from rq.worker import BaseWorker

from bench import books
from encoder_worker.rq.batch_worker import BatchWorker
from encoder_worker.rq.job import EncodeJob
from encoder_worker.rq.worker import EncodeWorker
from shared.contract.keys import EmbeddingKey, queue_name
from shared.contract.models import FAKE
from shared.contract.settings import Settings
from shared.queue.interface import JobStatus
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.connections import worker_client
from shared.redis.replies import UnexpectedReply
from shared.rq_worker.job import ServiceJob
from shared.rq_worker.pace import Pace
from shared.rq_worker.recovery import RecoveringIntermediateQueue, RecoveringQueue
from tests.support.memory_events import MemoryEvents

QUEUE = queue_name(FAKE.name, FAKE.weights_digest)
KEYS = [EmbeddingKey.of(hashlib.sha256(bytes([number])).hexdigest(), FAKE) for number in range(8)]


class AtOnce:
    """An `EncodePipeline` that encodes an image at once."""

    capacity = 2
    batches = 1

    def __init__(self, encode: Callable[[EmbeddingKey], None]) -> None:
        self.alone = encode

    def submit(self, key: EmbeddingKey) -> Future[None]:
        done: Future[None] = Future()
        self.alone(key)
        done.set_result(None)
        return done


class OlderWorker(SimpleWorker):
    """Keeps the books in RQ's own steps, as workers did before the scripts."""

    encoded: list[EmbeddingKey]

    def perform_job(self, job: Job, queue: Any, execution: Execution) -> bool:
        assert isinstance(job, EncodeJob)
        self.prepare_job_execution(job, remove_from_intermediate_queue=True)
        self.encoded.append(job.requested_key())
        self._finalize_success(job, queue, execution, None)
        return True


class Scene:
    def __init__(self, client: redis.Redis) -> None:
        self.redis = client
        self.queue = RqEncodeQueue(client, Settings(job_retries=2))
        self.started = StartedJobRegistry(QUEUE, connection=client)
        self.encoded: list[EmbeddingKey] = []

    def single(self) -> EncodeWorker:
        return EncodeWorker(
            QUEUE,
            connection=self.redis,
            encode=self.encoded.append,
            events=MemoryEvents(),
            pace=Pace(beat=1000),
        )

    def batching(self) -> EncodeWorker:
        pipeline: Any = AtOnce(self.encoded.append)
        return BatchWorker(QUEUE, connection=self.redis, pipeline=pipeline, events=MemoryEvents(), pace=Pace(beat=1000))

    def older(self) -> OlderWorker:
        worker = OlderWorker(
            QUEUE,
            connection=self.redis,
            job_class=EncodeJob,
            queue_class=RecoveringQueue,
            serializer=JSONSerializer,
        )
        worker.encoded = self.encoded
        return worker

    def submit(self, *keys: EmbeddingKey) -> None:
        for key in keys:
            assert self.queue.submit(key)

    def statuses(self, count: int) -> list[JobStatus]:
        return [self.queue.state(key).status for key in KEYS[:count]]

    def recover(self) -> None:
        """Do what workers do by and by: the leases of dead workers end, and so does the time for what they popped."""
        for lease in self.redis.zrange(self.started.key, 0, -1):
            self.redis.zadd(self.started.key, {lease: 1})
        for _ in range(2):  # a job between pop and start must be seen twice
            self.redis.delete(self.single().queues[0].registry_cleaning_key)
            self.single().run_maintenance_tasks()

    def written(self, worker: BaseWorker, job: Job, execution: Execution) -> dict[str, Any]:
        """Return all that is in Redis, with words in place of names and times, and whether it expires."""
        words = {execution.id: "EXECUTION", job.id: "JOB", worker.name: "WORKER"}
        times = {"created_at", "last_heartbeat", "started_at", "ended_at", "total_working_time", "enqueued_at"}

        def plain(value: object) -> str:
            text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
            for name, word in words.items():
                text = text.replace(name, word)
            return text

        found: dict[str, Any] = {}
        for key in self.redis.scan_iter():
            value: Any = None
            match self.redis.type(key):
                case b"hash":
                    fields = {plain(name): plain(field) for name, field in self.redis.hgetall(key).items()}
                    value = {name: "TIME" if name in times and field else field for name, field in fields.items()}
                case b"zset":
                    value = {plain(member) for member in self.redis.zrange(key, 0, -1)}
                case b"set":
                    value = {plain(member) for member in self.redis.smembers(key)}
                case b"list":
                    value = [plain(entry) for entry in self.redis.lrange(key, 0, -1)]
            found[plain(key)] = (value, self.redis.ttl(key) >= 0)
        return found


@pytest.fixture
def scene(valkey_url: str, own_signal_handlers: None) -> Iterator[Scene]:
    with worker_client(valkey_url + "/9") as client:
        client.flushdb()
        yield Scene(client)
        client.flushdb()


def taken(worker: EncodeWorker, most: int = 1, popped: str = "") -> list[ServiceJob]:
    jobs = worker._books.take(most, popped)
    assert jobs is not None
    return jobs


def taken_as_rq_does(worker: BaseWorker) -> tuple[Job, Execution]:
    popped = worker.queue_class.dequeue_any(
        worker.queues, None, connection=worker.connection, job_class=worker.job_class, serializer=JSONSerializer
    )
    assert popped is not None
    execution = worker.prepare_execution(popped[0])
    worker.prepare_job_execution(popped[0], remove_from_intermediate_queue=True)
    return popped[0], execution


def registration(found: dict[str, Any]) -> dict[str, Any]:
    """Take a worker's registration out of what was found. Of it, RQ writes parts at other times."""
    value, _ = found.pop("rq:worker:WORKER")
    return {name: value.get(name) for name in ("state", "successful_job_count", "total_working_time")}


def test_a_taken_job_is_as_rq_leaves_it(scene: Scene) -> None:
    older, newer = scene.older(), scene.single()
    scene.submit(KEYS[0])
    job, execution = taken_as_rq_does(older)
    rq = scene.written(older, job, execution)
    scene.redis.flushdb()
    scene.submit(KEYS[0])
    (ours,) = taken(newer)
    assert ours.lease is not None
    written = scene.written(newer, ours, ours.lease)
    assert registration(written) == registration(rq)
    assert written == rq
    assert 0 < scene.redis.ttl(ours.lease.key) <= 15
    assert ours.to_dict().keys() == job.to_dict().keys()


def test_an_ended_job_is_as_rq_leaves_it_but_for_the_result_that_nobody_reads(scene: Scene) -> None:
    older, newer = scene.older(), scene.single()
    scene.submit(KEYS[0])
    job, execution = taken_as_rq_does(older)
    older._finalize_success(job, older.queues[0], execution, None)
    rq = scene.written(older, job, execution)
    scene.redis.flushdb()
    scene.submit(KEYS[0])
    (ours,) = taken(newer)
    assert newer._books.end([ours]) == [True]
    assert ours.lease is not None
    written = scene.written(newer, ours, ours.lease)
    assert rq.pop("rq:results:JOB") is not None
    assert registration(written) == registration(rq)
    assert written == rq
    assert 0 < scene.redis.ttl(ours.key) <= 5


def test_workers_of_both_kinds_share_a_queue(scene: Scene) -> None:
    scene.submit(*KEYS)
    for make in (scene.older, scene.batching, scene.older, scene.single):
        make().work(burst=True, max_jobs=1)
    scene.older().work(burst=True)
    assert len(scene.encoded) == 8
    assert set(scene.encoded) == set(KEYS)
    assert scene.statuses(8) == [JobStatus.DONE] * 8
    assert scene.redis.zcard(scene.started.key) == 0


def test_rqs_own_code_finds_a_job_whose_newer_worker_died(scene: Scene) -> None:
    scene.submit(KEYS[0])
    (job,) = taken(scene.single())
    assert job.lease is not None
    scene.redis.zadd(scene.started.key, {job.lease.composite_key: 1})
    StartedJobRegistry(QUEUE, connection=scene.redis, job_class=EncodeJob, serializer=JSONSerializer).cleanup()
    scene.older().work(burst=True)
    assert scene.encoded == [KEYS[0]]
    assert scene.statuses(1) == [JobStatus.DONE]


class Killed(BaseException):
    """This process is no more."""


@contextmanager
def killed_at(step: int, *, heard: bool) -> Iterator[list[str]]:
    """Nothing reaches the server any more from the `step`-th command on, counted from the first look for jobs.

    Args:
        heard: the server still gets that command, but its reply reaches nobody.

    Yields:
        the names of the commands that the server got.
    """
    send = AbstractConnection.send_packed_command
    sent: list[str] = []

    def sending(connection: AbstractConnection, command: Any, *args: Any, **options: Any) -> None:
        text = command if isinstance(command, bytes) else b"".join(command)
        if sent or b"-- take jobs" in text:
            sent.append(text.split(b"\r\n")[2].decode())
        if len(sent) < step or (heard and len(sent) == step):
            send(connection, command, *args, **options)
        if len(sent) >= step:
            raise Killed

    AbstractConnection.send_packed_command = sending  # type: ignore[method-assign]
    try:
        yield sent
    finally:
        AbstractConnection.send_packed_command = send  # type: ignore[method-assign]


@pytest.mark.parametrize("heard", [False, True], ids=["before the command", "before the reply"])
@pytest.mark.parametrize("kind", [Scene.single, Scene.batching], ids=["single", "batching"])
def test_a_worker_killed_at_any_command_loses_no_job(
    scene: Scene, kind: Callable[[Scene], EncodeWorker], heard: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecoveringIntermediateQueue, "grace", RecoveringIntermediateQueue.grace * 0)
    for step in range(1, 40):
        scene.redis.flushdb()
        scene.encoded.clear()
        scene.submit(*KEYS[:3])
        survived = False
        with killed_at(step, heard=heard), suppress(Killed):
            kind(scene).work(burst=True)
            survived = True
        scene.redis.connection_pool.disconnect()
        scene.recover()
        scene.single().work(burst=True)
        assert scene.statuses(3) == [JobStatus.DONE] * 3, step
        assert set(scene.encoded) == set(KEYS[:3]), step
        assert scene.redis.zcard(scene.started.key) == 0, step
        assert scene.redis.exists(f"rq:queue:{QUEUE}", f"rq:queue:{QUEUE}:intermediate") == 0, step
        if survived:
            assert step > 4
            return
    pytest.fail("the worker never comes to its end")


def test_a_job_that_was_put_back_between_pop_and_start_is_not_taken_twice(scene: Scene) -> None:
    scene.submit(KEYS[0])
    frozen = scene.single()
    popped = RecoveringQueue.lmove(scene.redis, frozen.queues[0].key, None)
    assert popped is not None
    queue = frozen.queues[0]
    scene.redis.lmove(queue.intermediate_queue.key, queue.key)  # as maintenance does
    assert taken(frozen, popped=KEYS[0].job_id) == []
    scene.single().work(burst=True)
    assert scene.encoded == [KEYS[0]]


def test_a_popped_job_gets_its_lease(scene: Scene) -> None:
    scene.submit(KEYS[0])
    worker = scene.single()
    RecoveringQueue.lmove(scene.redis, worker.queues[0].key, None)
    (job,) = taken(worker, popped=KEYS[0].job_id)
    assert job.id == KEYS[0].job_id
    assert scene.redis.exists(worker.queues[0].intermediate_queue.key) == 0
    assert scene.redis.zcard(scene.started.key) == 1


def test_a_job_leaves_the_queue_only_with_a_lease(scene: Scene) -> None:
    scene.submit(KEYS[0])
    scene.redis.set(scene.started.key, "no leases")
    worker = scene.single()
    with pytest.raises(redis.ResponseError):
        worker._books.take(1)
    assert scene.redis.lrange(worker.queues[0].key, 0, -1) == [KEYS[0].job_id.encode()]


def test_a_job_keeps_its_lease_until_its_end_is_noted(scene: Scene) -> None:
    scene.submit(*KEYS[:2])
    worker = scene.single()
    jobs = taken(worker, 2)
    scene.redis.set(worker.queues[0].finished_job_registry.key, "no jobs")
    with pytest.raises(redis.ResponseError):
        worker._books.end(jobs)
    assert scene.redis.zcard(scene.started.key) == 2
    scene.redis.delete(worker.queues[0].finished_job_registry.key)
    scene.recover()
    scene.single().work(burst=True)
    assert scene.encoded == [KEYS[1]]
    assert scene.statuses(2) == [JobStatus.DONE] * 2


def test_a_job_begun_before_is_the_last_that_is_taken(scene: Scene) -> None:
    scene.submit(*KEYS[:4])
    scene.redis.hset(Job.key_for(KEYS[1].job_id), "started_at", "2026-11-27T00:00:00.000000Z")
    worker = scene.single()
    assert [job.begun_before for job in taken(worker, 4)] == [False, True]
    assert [job.id for job in taken(worker, 4)] == [key.job_id for key in KEYS[2:4]]


@pytest.mark.parametrize("kind", [Scene.single, Scene.batching], ids=["single", "batching"])
def test_suspended_workers_take_no_jobs(scene: Scene, kind: Callable[[Scene], EncodeWorker]) -> None:
    scene.submit(*KEYS[:2])
    suspend(scene.redis)
    kind(scene).work(burst=True)
    assert scene.encoded == []
    resume(scene.redis)
    kind(scene).work(burst=True)
    assert scene.encoded == KEYS[:2]


@pytest.mark.parametrize("reply", [7, [1, 1], [[b"job", b"execution"]], b"OK"])
def test_the_reply_to_another_command_is_no_job_and_its_connection_is_closed(
    scene: Scene, reply: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.submit(KEYS[0])
    worker, closed = scene.single(), []
    monkeypatch.setattr(scene.redis, "eval", lambda *_: reply)
    monkeypatch.setattr(scene.redis.connection_pool, "disconnect", lambda **_: closed.append(True))
    with pytest.raises(UnexpectedReply):
        worker._books.take(1)
    assert closed == [True]


def test_the_books_need_few_round_trips() -> None:
    single, *batches = books.measure(40, (4, 1))
    assert single.round_trips < 4
    assert [row.round_trips < bound for row, bound in zip(batches, (2, 3), strict=True)] == [True, True]
