"""The same tests for every encode queue: in memory, on RQ with a fake Redis, on RQ with a real server."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import fakeredis
import pytest
import redis
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from encoder_worker.rq.worker import EncodeWorker
from shared.contract.errors import EncodeFailed, InvalidImage, Overloaded, StoreUnavailable
from shared.contract.keys import EmbeddingKey, queue_name
from shared.contract.models import FAKE, MOBILE_SAM, Model
from shared.contract.settings import Settings
from shared.queue.interface import ABSENT, EncodeQueue, JobState, JobStatus
from shared.queue.registration import FRESH_SECONDS, KEPT_SECONDS
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.connections import request_client, worker_client
from tests.support.memory_events import MemoryEvents
from tests.support.memory_queue import MemoryEncodeQueue

Encode = Callable[[EmbeddingKey], None]

QUEUE = queue_name(FAKE.name, FAKE.weights_digest)
SETTINGS = Settings(max_queued=3, job_retries=2)


@dataclass(frozen=True)
class Bench:
    """A queue under test, and a function that runs its next job."""

    queue: EncodeQueue
    run_next: Callable[[Encode], None]


def in_memory(request: pytest.FixtureRequest) -> Iterator[Bench]:
    queue = MemoryEncodeQueue(max_queued=SETTINGS.max_queued, retries=SETTINGS.job_retries)
    yield Bench(queue, queue.run_next)


def on_fake_redis(request: pytest.FixtureRequest) -> Iterator[Bench]:
    server = fakeredis.FakeServer()
    yield on_rq(fakeredis.FakeRedis(server=server), fakeredis.FakeRedis(server=server))


def on_real_server(request: pytest.FixtureRequest) -> Iterator[Bench]:
    url = request.getfixturevalue("valkey_url") + "/11"
    with request_client(url, timeout=60) as client, worker_client(url) as connection:
        client.flushdb()
        yield on_rq(client, connection)
        client.flushdb()


def on_rq(client: redis.Redis, connection: redis.Redis) -> Bench:
    def run_next(encode: Encode) -> None:
        worker = EncodeWorker(QUEUE, connection=connection, encode=encode, events=MemoryEvents())
        worker.work(burst=True, max_jobs=1)

    return Bench(RqEncodeQueue(client, SETTINGS), run_next)


@pytest.fixture(params=[in_memory, on_fake_redis, on_real_server], ids=lambda make: make.__name__)
def bench(request: pytest.FixtureRequest, own_signal_handlers: None) -> Iterator[Bench]:
    yield from request.param(request)


def key(name: str, model: Model = FAKE) -> EmbeddingKey:
    return EmbeddingKey.of(hashlib.sha256(name.encode()).hexdigest(), model)


def succeed(key: EmbeddingKey) -> None:
    return None


def fail_with(error: Exception) -> Encode:
    def encode(key: EmbeddingKey) -> None:
        raise error

    return encode


def test_what_was_never_submitted_is_absent(bench: Bench) -> None:
    assert bench.queue.state(key("a")) == ABSENT


def test_the_first_submit_adds_and_the_second_joins(bench: Bench) -> None:
    assert bench.queue.submit(key("a"))
    assert not bench.queue.submit(key("a"))


def test_one_of_fifty_concurrent_submits_adds_the_job(bench: Bench) -> None:
    start = threading.Barrier(50)

    def submit(_: int) -> bool:
        start.wait()
        return bench.queue.submit(key("a"))

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(submit, range(50))) == 1
    encoded: list[EmbeddingKey] = []
    bench.run_next(encoded.append)
    assert encoded == [key("a")]
    assert bench.queue.state(key("a")).status is JobStatus.DONE


def test_positions_count_those_before(bench: Bench) -> None:
    for name in "abc":
        bench.queue.submit(key(name))
    assert [bench.queue.state(key(name)) for name in "abc"] == [
        JobState(JobStatus.QUEUED, position=position) for position in range(3)
    ]


def test_models_wait_in_queues_of_their_own(bench: Bench) -> None:
    bench.queue.submit(key("a"))
    bench.queue.submit(key("a", MOBILE_SAM))
    assert bench.queue.state(key("a", MOBILE_SAM)).position == 0


def test_jobs_are_worked_off_in_order_with_their_own_key(bench: Bench) -> None:
    bench.queue.submit(key("a"))
    bench.queue.submit(key("b"))
    encoded: list[EmbeddingKey] = []
    bench.run_next(encoded.append)
    bench.run_next(encoded.append)
    assert encoded == [key("a"), key("b")]


def test_a_running_job_is_encoding_and_can_be_joined(bench: Bench) -> None:
    seen: list[JobState | bool] = []

    def encode(key: EmbeddingKey) -> None:
        seen.append(bench.queue.state(key))
        seen.append(bench.queue.submit(key))

    bench.queue.submit(key("a"))
    bench.run_next(encode)
    assert seen == [JobState(JobStatus.ENCODING), False]


def test_a_finished_job_is_done_for_a_moment(bench: Bench) -> None:
    bench.queue.submit(key("a"))
    bench.run_next(succeed)
    assert bench.queue.state(key("a")) == JobState(JobStatus.DONE)


def test_what_the_caller_must_mend_fails_at_once_with_its_code(bench: Bench) -> None:
    bench.queue.submit(key("a"))
    bench.run_next(fail_with(InvalidImage("the JPEG is truncated")))
    assert bench.queue.state(key("a")) == JobState(
        JobStatus.FAILED, error_code="invalid-image", error_detail="the JPEG is truncated"
    )
    assert not bench.queue.submit(key("a"))


@pytest.mark.parametrize("error", [EncodeFailed("it was not finite"), StoreUnavailable("no cache")])
def test_other_errors_are_tried_again_up_to_the_cap(bench: Bench, error: EncodeFailed | StoreUnavailable) -> None:
    bench.queue.submit(key("a"))
    for _ in range(SETTINGS.job_retries):
        bench.run_next(fail_with(error))
        assert bench.queue.state(key("a")) == JobState(JobStatus.QUEUED, position=0)
    bench.run_next(fail_with(error))
    assert bench.queue.state(key("a")) == JobState(JobStatus.FAILED, error_code=error.code, error_detail=error.detail)


def test_an_unexpected_error_is_told_without_its_text(bench: Bench) -> None:
    bench.queue.submit(key("a"))
    for _ in range(1 + SETTINGS.job_retries):
        bench.run_next(fail_with(ZeroDivisionError("secret")))
    state = bench.queue.state(key("a"))
    assert state.error_code == "encode-failed"
    assert "secret" not in str(state.error_detail)


def test_a_retry_that_works_is_done(bench: Bench) -> None:
    bench.queue.submit(key("a"))
    bench.run_next(fail_with(StoreUnavailable("no cache")))
    bench.run_next(succeed)
    assert bench.queue.state(key("a")) == JobState(JobStatus.DONE)


def test_a_full_queue_refuses_with_an_estimate_but_lets_callers_join(bench: Bench) -> None:
    for name in "abc":
        bench.queue.submit(key(name))
    with pytest.raises(Overloaded) as refusal:
        bench.queue.submit(key("d"))
    assert refusal.value.retry_after is not None
    assert 1 <= refusal.value.retry_after <= 60
    assert not bench.queue.submit(key("a"))
    assert bench.queue.submit(key("d", MOBILE_SAM))


def test_simultaneous_submits_never_exceed_the_bound(bench: Bench) -> None:
    start = threading.Barrier(50)

    def submit(number: int) -> bool:
        start.wait()
        try:
            return bench.queue.submit(key(str(number)))
        except Overloaded:
            return False

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(submit, range(50))) == SETTINGS.max_queued


def test_the_estimate_follows_what_the_workers_did_so_far() -> None:
    client = fakeredis.FakeRedis()
    for worker in ("rq:worker:one", "rq:worker:two"):
        client.sadd(WORKERS_BY_QUEUE_KEY % QUEUE, worker)
        client.hset(worker, mapping={"total_working_time": 2000.0, "successful_job_count": 10})
    queue = RqEncodeQueue(client, SETTINGS)
    for name in "abc":
        queue.submit(key(name))
    with pytest.raises(Overloaded) as refusal:
        queue.submit(key("d"))
    assert refusal.value.retry_after == pytest.approx(0.1 * 3 * 200 / 2)


def test_a_full_queue_takes_jobs_again_once_one_is_done(bench: Bench) -> None:
    for name in "abc":
        bench.queue.submit(key(name))
    bench.run_next(succeed)
    assert bench.queue.submit(key("d"))


def test_forgetting_what_is_unknown_is_harmless(bench: Bench) -> None:
    bench.queue.forget(key("a"))


def test_a_forgotten_waiting_job_makes_room_for_those_behind_it(bench: Bench) -> None:
    bench.queue.submit(key("a"))
    bench.queue.submit(key("b"))
    bench.queue.forget(key("a"))
    assert bench.queue.state(key("a")) == ABSENT
    assert bench.queue.state(key("b")).position == 0


def test_several_jobs_are_forgotten_together_whether_they_exist_or_not(bench: Bench) -> None:
    for name in "abc":
        bench.queue.submit(key(name))
    bench.queue.forget_all([key("a"), key("missing"), key("c")])
    bench.queue.forget_all([])
    assert [bench.queue.state(key(name)).status for name in "abc"] == ["absent", "queued", "absent"]
    assert bench.queue.state(key("b")).position == 0


@pytest.mark.parametrize("encode", [succeed, fail_with(InvalidImage("text"))], ids=["done", "failed"])
def test_a_forgotten_ended_job_can_be_submitted_again(bench: Bench, encode: Encode) -> None:
    bench.queue.submit(key("a"))
    bench.run_next(encode)
    bench.queue.forget(key("a"))
    assert bench.queue.state(key("a")) == ABSENT
    assert bench.queue.submit(key("a"))


@pytest.mark.parametrize("error", [None, InvalidImage("text"), StoreUnavailable("no cache")])
def test_a_job_forgotten_while_it_runs_ends_unseen(bench: Bench, error: Exception | None) -> None:
    def encode(key: EmbeddingKey) -> None:
        bench.queue.forget(key)
        if error is not None:
            raise error

    bench.queue.submit(key("a"))
    bench.run_next(encode)
    assert bench.queue.state(key("a")) == ABSENT
    assert bench.queue.submit(key("a"))


def test_a_queue_that_no_worker_ever_served_has_none(bench: Bench) -> None:
    assert bench.queue.workers_alive(QUEUE) == 0


@pytest.fixture(params=["on_fake_redis", "on_real_server"])
def redis_of_workers(request: pytest.FixtureRequest) -> Iterator[redis.Redis]:
    if request.param == "on_fake_redis":
        yield fakeredis.FakeRedis()
        return
    with request_client(request.getfixturevalue("valkey_url") + "/11", timeout=60) as client:
        client.flushdb()
        yield client
        client.flushdb()


def new_worker(client: redis.Redis, queue: str = QUEUE) -> EncodeWorker:
    return EncodeWorker(queue, connection=client, encode=succeed, events=MemoryEvents())


def test_workers_are_alive_from_their_registration_to_their_orderly_end(redis_of_workers: redis.Redis) -> None:
    queue = RqEncodeQueue(redis_of_workers, SETTINGS)
    first, second = new_worker(redis_of_workers), new_worker(redis_of_workers)
    other = queue_name(MOBILE_SAM.name, MOBILE_SAM.weights_digest)
    counts = []
    for step in (first.register_birth, second.register_birth, first.register_death, second.register_death):
        step()
        counts.append(queue.workers_alive(QUEUE))
        assert queue.workers_alive(other) == 0
    assert counts == [1, 2, 1, 0]


def test_a_worker_that_renews_its_registration_no_more_is_dead(redis_of_workers: redis.Redis) -> None:
    queue, worker = RqEncodeQueue(redis_of_workers, SETTINGS), new_worker(redis_of_workers)
    worker.register_birth()
    redis_of_workers.pexpire(worker.key, 1000 * (KEPT_SECONDS - FRESH_SECONDS + 1))
    assert queue.workers_alive(QUEUE) == 1
    redis_of_workers.pexpire(worker.key, 1000 * (KEPT_SECONDS - FRESH_SECONDS - 1))  # as if that many seconds passed
    assert queue.workers_alive(QUEUE) == 0
    worker.heartbeat()
    assert queue.workers_alive(QUEUE) == 1
    redis_of_workers.delete(worker.key)
    assert queue.workers_alive(QUEUE) == 0


def test_a_worker_that_starts_a_job_is_alive(redis_of_workers: redis.Redis) -> None:
    queue, worker = RqEncodeQueue(redis_of_workers, SETTINGS), new_worker(redis_of_workers)
    worker.register_birth()
    queue.submit(key("a"))
    redis_of_workers.pexpire(worker.key, 1000 * (KEPT_SECONDS - FRESH_SECONDS - 1))  # as if that many seconds passed
    assert worker.dequeue_job_and_maintain_ttl(1) is not None
    assert queue.workers_alive(QUEUE) == 1


def test_ping_answers(bench: Bench) -> None:
    bench.queue.ping()


@pytest.fixture
def poisoned(valkey_url: str) -> Iterator[tuple[RqEncodeQueue, redis.Redis]]:
    with request_client(valkey_url + "/13", timeout=30) as client:
        client.flushdb()
        yield RqEncodeQueue(client, Settings()), client
        client.flushdb()


JOBS: dict[str, dict[str, bytes]] = {
    "an unknown status": {"status": b"dancing"},
    "a status that is no text": {"status": b"\xff"},
    "a failure without its reason": {"status": b"failed", "meta": b"{"},
    "a failure nested deep": {"status": b"failed", "meta": b"[" * 100_000},
    "a list as a failure": {"status": b"failed", "meta": b"[1]"},
    "a failure of another kind": {"status": b"failed", "meta": b'{"error": 7}'},
    "a failure without words": {"status": b"failed", "meta": b'{"error": {"code": 1e400, "detail": []}}'},
}


@pytest.mark.parametrize("fields", JOBS.values(), ids=JOBS)
def test_a_job_that_makes_no_sense_is_dropped_and_can_be_submitted_again(
    poisoned: tuple[RqEncodeQueue, redis.Redis], fields: dict[str, bytes]
) -> None:
    queue, client = poisoned
    key = EmbeddingKey.of("d" * 64, FAKE)
    queue.submit(key)
    client.hset(f"rq:job:{key.job_id}", mapping=fields)
    assert queue.state(key) == ABSENT
    assert queue.submit(key)
    assert queue.state(key) == JobState(JobStatus.QUEUED, position=0)


@pytest.mark.parametrize("put", [lambda c, k: c.set(k, "x"), lambda c, k: c.hset(k, "data", "x")])
def test_what_stands_in_the_place_of_a_job_does_not_block_it(
    poisoned: tuple[RqEncodeQueue, redis.Redis], put: Callable[[redis.Redis, str], object]
) -> None:
    queue, client = poisoned
    key = EmbeddingKey.of("e" * 64, FAKE)
    put(client, f"rq:job:{key.job_id}")
    assert queue.submit(key)
    assert queue.state(key).position == 0


def test_a_job_of_a_hostile_origin_can_be_joined(poisoned: tuple[RqEncodeQueue, redis.Redis]) -> None:
    queue, client = poisoned
    key = EmbeddingKey.of("f" * 64, FAKE)
    queue.submit(key)
    for meta in (b"[" * 100_000, b"9" * 5_000, b"\xff", b'{"request_id": 1e400}'):
        client.hset(f"rq:job:{key.job_id}", "meta", meta)
        assert not queue.submit(key)


@pytest.mark.parametrize("row", [("1e400", "1"), ("nan", "nan"), ("1", "9" * 5_000), ("x", "y"), ("-5", "-5")])
def test_what_workers_tell_of_themselves_may_be_nonsense(
    poisoned: tuple[RqEncodeQueue, redis.Redis], row: tuple[str, str]
) -> None:
    _, client = poisoned
    queue = RqEncodeQueue(client, Settings(max_queued=1))
    key = EmbeddingKey.of("a" * 64, FAKE)
    client.sadd(f"rq:workers:{key.queue}", "rq:worker:odd")
    client.hset("rq:worker:odd", mapping={"total_working_time": row[0], "successful_job_count": row[1]})
    queue.submit(key)
    with pytest.raises(Overloaded) as refusal:
        queue.submit(EmbeddingKey.of("b" * 64, FAKE))
    assert 1 <= (refusal.value.retry_after or 0) <= 60
