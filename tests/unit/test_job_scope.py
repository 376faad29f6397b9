"""A job's log lines and span belong to the request that submitted it, however the job ends."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import fakeredis
import pytest
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer

from encoder_worker.rq.batch_worker import BatchWorker
from encoder_worker.rq.worker import EncodeWorker
from shared.contract.errors import InvalidImage, StoreUnavailable
from shared.contract.keys import EmbeddingKey, queue_name
from shared.contract.models import FAKE
from shared.contract.settings import Settings
from shared.observe import log_context
from shared.observe.tracing import SpanKind, carried, current, entered
from shared.queue.rq_queue import RqEncodeQueue
from tests.support.kept import KeepingTracer, KeptSpan, Lines
from tests.support.memory_events import MemoryEvents

QUEUE = queue_name(FAKE.name, FAKE.weights_digest)
KEYS = [EmbeddingKey.of(hashlib.sha256(bytes([number])).hexdigest(), FAKE) for number in range(4)]
SOON = 60.0
Encode = Callable[[EmbeddingKey], None]


@dataclass
class Scene:
    """A queue on a fake Redis, and workers whose spans are kept."""

    server: fakeredis.FakeServer = field(default_factory=fakeredis.FakeServer)
    tracer: KeepingTracer = field(default_factory=KeepingTracer)
    lines: Lines = field(default_factory=Lines)

    def __post_init__(self) -> None:
        self.redis = fakeredis.FakeRedis(server=self.server)
        self.queue = RqEncodeQueue(self.redis, Settings(job_retries=1))

    def submit(self, key: EmbeddingKey, request_id: str) -> KeptSpan:
        """Submit a job within a request, as the API does. Return the request's span."""
        span = KeptSpan("request", SpanKind.SERVER, "", {})
        with log_context.scope(request_id=request_id), entered(span):
            self.queue.submit(key)
        return span

    def worker(self, encode: Encode) -> EncodeWorker:
        return EncodeWorker(
            QUEUE,
            connection=fakeredis.FakeRedis(server=self.server),
            encode=encode,
            events=MemoryEvents(),
            tracer=self.tracer,
        )

    def said(self, request_id: str) -> list[str]:
        """Return what the worker logged about a request, without the image's name."""
        return [
            re.sub(r"^image \w+:? ", "", line["text"])
            for line in self.lines.seen
            if line["name"].startswith(("encoder_worker", "shared.rq_worker")) and line.get("request_id") == request_id
        ]


@pytest.fixture
def scene(caplog: pytest.LogCaptureFixture, own_signal_handlers: None) -> Iterator[Scene]:
    scene = Scene()
    caplog.set_level(logging.INFO)
    logging.getLogger().addHandler(scene.lines)
    yield scene
    logging.getLogger().removeHandler(scene.lines)


def fail_with(error: Exception) -> Encode:
    def encode(_: EmbeddingKey) -> None:
        raise error

    return encode


def test_while_a_job_runs_it_is_at_hand(scene: Scene) -> None:
    seen: list[Any] = []
    scene.submit(KEYS[0], "r1")
    scene.worker(lambda key: seen.append((dict(log_context.fields()), current()))).work(burst=True)
    ((fields, span),) = seen
    assert fields == {
        "request_id": "r1",
        "image_id": KEYS[0].image_id,
        "model": "fake",
        "job_id": KEYS[0].job_id,
        "trace_id": KeptSpan.trace_id,
    }
    assert span is scene.tracer.spans[0]
    assert not log_context.fields()


def test_its_span_goes_on_where_the_api_sent_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    sending = KeptSpan("send", SpanKind.PRODUCER, "", {})
    monkeypatch.setattr(KeptSpan, "child", lambda *_: sending)
    scene.submit(KEYS[0], "r1")
    scene.worker(lambda key: None).work(burst=True)
    (span,) = scene.tracer.spans
    assert (span.name, span.kind, span.parent) == (f"process {QUEUE}", SpanKind.CONSUMER, sending.traceparent)
    assert (span.ended, span.failed) == (1, None)
    assert span.attributes["messaging.message.id"] == KEYS[0].job_id


def test_a_job_of_an_older_api_runs_without(scene: Scene) -> None:
    seen: list[Any] = []
    scene.queue.submit(KEYS[0])
    scene.redis.hdel(f"rq:job:{KEYS[0].job_id}", "meta")
    scene.worker(lambda key: seen.append(log_context.fields().get("request_id"))).work(burst=True)
    assert seen == [None]
    assert scene.tracer.spans[0].parent == ""


def test_meta_of_foreign_making_is_ignored(scene: Scene) -> None:
    seen: list[Any] = []
    scene.queue.submit(KEYS[0])
    scene.redis.hset(f"rq:job:{KEYS[0].job_id}", "meta", '{"request_id": "a\\nb", "traceparent": 7}')
    scene.worker(lambda key: seen.append(log_context.fields().get("request_id"))).work(burst=True)
    assert seen == [None]


def test_a_failure_and_the_try_after_it_belong_to_the_request(scene: Scene) -> None:
    scene.submit(KEYS[0], "r1")
    scene.worker(fail_with(StoreUnavailable("no cache"))).work(burst=True)
    assert scene.said("r1") == [
        "started",
        "failed, may be tried again: store-unavailable: no cache",
        "back in the queue, 0 retries left",
        "started",
        "failed, for good: store-unavailable: no cache",
    ]
    assert [(span.ended, span.failed) for span in scene.tracer.spans] == [(1, "store-unavailable")] * 2


def test_a_failure_that_is_recorded_leaves_the_origin_in_the_job(scene: Scene) -> None:
    scene.submit(KEYS[0], "r1")
    scene.worker(fail_with(InvalidImage("cut off"))).work(burst=True)
    assert scene.queue.state(KEYS[0]).error_code == "invalid-image"
    scene.submit(KEYS[0], "r2")
    (joined,) = [line for line in scene.lines.seen if "joined" in line["text"]]
    assert (joined["request_id"], joined["joined_request_id"]) == ("r2", "r1")


def test_a_job_whose_worker_died_is_still_the_requests(scene: Scene) -> None:
    scene.submit(KEYS[0], "r1")
    dead = scene.worker(lambda key: None)
    for _ in range(2):
        popped = dead.queue_class.dequeue_any(
            dead.queues, None, connection=dead.connection, job_class=dead.job_class, serializer=JSONSerializer
        )
        assert popped is not None
        execution = dead.prepare_execution(popped[0])
        dead.prepare_job_execution(popped[0], remove_from_intermediate_queue=True)
        scene.redis.zadd(StartedJobRegistry(QUEUE, connection=scene.redis).key, {execution.composite_key: 1})
        scene.redis.delete(dead.queues[0].registry_cleaning_key)
        scene.worker(lambda key: None).run_maintenance_tasks()
    recovered, given_up = scene.said("r1")
    assert recovered == "its worker died; back in the queue, 0 retries left"
    assert given_up.startswith("failed, for good: encode-failed: the worker died")


def test_in_a_batch_each_job_is_its_own_requests(scene: Scene) -> None:
    together = threading.Barrier(len(KEYS))
    seen: dict[EmbeddingKey, object] = {}

    def encode(key: EmbeddingKey) -> None:
        together.wait(SOON)
        seen[key] = log_context.fields().get("request_id")
        if key == KEYS[2]:
            raise InvalidImage("cut off")

    class Threads:
        capacity, batches = len(KEYS), 1
        alone = staticmethod(encode)
        pool = ThreadPoolExecutor(len(KEYS))

        def submit(self, key: EmbeddingKey) -> Future[None]:
            return self.pool.submit(carried(encode), key)

    for number, key in enumerate(KEYS):
        scene.submit(key, f"r{number}")
    connection = fakeredis.FakeRedis(server=scene.server)
    worker = BatchWorker(
        QUEUE,
        connection=connection,
        pipeline=Threads(),  # type: ignore[arg-type]  # a stand-in
        events=MemoryEvents(),
        tracer=scene.tracer,
    )
    worker.work(burst=True)
    assert seen == {key: f"r{number}" for number, key in enumerate(KEYS)}
    assert [scene.said(f"r{number}")[1:] for number in range(4)] == [
        [],
        [],
        ["failed, for good: invalid-image: cut off"],
        [],
    ]
    assert [span.ended for span in scene.tracer.spans] == [1] * 4
    assert [span.failed for span in scene.tracer.spans] == [None, None, "invalid-image", None]
    assert not log_context.fields()
