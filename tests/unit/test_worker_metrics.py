"""The metrics of the worker, and how they are read."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import replace
from wsgiref.simple_server import WSGIServer

import fakeredis
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from encoder_worker.encoding.encode import EncodeImage
from encoder_worker.metrics.catalogue import STAGES
from encoder_worker.metrics.counting import WorkerMetrics
from encoder_worker.rq.worker import EncodeWorker
from prompt_api.metrics.queue_load import queue_load
from shared.contract.errors import ConfigurationError, EncodeFailed, InvalidImage
from shared.contract.keys import EmbeddingKey
from shared.contract.models import FAKE
from shared.observe.metrics_server import PORTS, metrics_server
from tests.integration.test_worker_recovery import KEY, QUEUE, Scene
from tests.unit.test_worker_encode import Desk, png


def counted(metrics: WorkerMetrics, name: str, **labels: str) -> float:
    return in_text(generate_latest(metrics.registry).decode(), name, **labels)


def in_text(text: str, name: str, **labels: str) -> float:
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())


@pytest.fixture
def scene() -> Scene:
    return Scene(fakeredis.FakeRedis())


def work(scene: Scene, metrics: WorkerMetrics, error: Exception | None = None) -> None:
    def encode(key: EmbeddingKey) -> None:
        if error is not None:
            raise error

    worker = EncodeWorker(QUEUE, connection=scene.redis, encode=encode, events=scene.events, metrics=metrics)
    worker.work(burst=True)


def test_an_encoding_is_counted_by_stage_and_batch() -> None:
    metrics, desk = WorkerMetrics(), Desk()
    encode = EncodeImage(
        store=desk.store,
        encoder=desk.encoder,
        events=desk.events,
        dtype="float16",
        ttl=60,
        max_pixels=1_000_000,
        metrics=metrics,
    )
    encode(desk.upload(png(300, 200)))
    for stage in STAGES:
        assert counted(metrics, "sam_worker_stage_seconds_count", stage=stage) == 1
    assert counted(metrics, "sam_worker_batch_images_sum") == 1
    assert counted(metrics, "sam_worker_batch_seconds_count") == 1
    encode.embed([encode.prepare(desk.upload(png(30, side))) for side in (20, 21, 22)])  # type: ignore[misc]
    assert counted(metrics, "sam_worker_batch_images_bucket", le="3.0") == 2


def test_jobs_are_counted_by_their_end(scene: Scene) -> None:
    metrics = WorkerMetrics("fake")
    scene.queue.submit(KEY)
    assert queue_load(scene.redis, FAKE).waiting == 1
    work(scene, metrics)
    assert counted(metrics, "sam_worker_jobs_total", outcome="done", code="") == 1
    assert counted(metrics, "sam_worker_queue_seconds_count") == 1
    scene.queue.forget(KEY)
    scene.queue.submit(KEY)
    work(scene, metrics, InvalidImage("no image"))
    assert counted(metrics, "sam_worker_jobs_total", outcome="failed", code="invalid-image") == 1
    scene.queue.forget(KEY)
    scene.queue.submit(KEY)
    work(scene, metrics, EncodeFailed("out of memory"))
    assert counted(metrics, "sam_worker_jobs_total", outcome="retried", code="encode-failed") == 2
    assert counted(metrics, "sam_worker_jobs_total", outcome="failed", code="encode-failed") == 1
    assert counted(metrics, "sam_worker_queue_seconds_count") == 3  # a retry is not counted as queue time
    assert counted(metrics, "sam_worker_recovered_jobs_total") == 0


def test_a_job_deleted_while_it_ran_is_counted_as_forgotten(scene: Scene) -> None:
    metrics = WorkerMetrics()
    scene.queue.submit(KEY)
    worker = EncodeWorker(
        QUEUE, connection=scene.redis, encode=scene.queue.forget, events=scene.events, metrics=metrics
    )
    worker.work(burst=True)
    assert counted(metrics, "sam_worker_jobs_total", outcome="forgotten") == 1


def test_the_jobs_of_dead_workers_are_counted_by_whoever_finds_them(scene: Scene) -> None:
    metrics = WorkerMetrics()
    scene.queue.submit(KEY)
    for _ in range(3):
        scene.die_mid_job()
        EncodeWorker(
            QUEUE, connection=scene.redis, encode=scene.encoded.append, events=scene.events, metrics=metrics
        ).clean_registries()
    assert counted(metrics, "sam_worker_recovered_jobs_total", outcome="retried") == 2
    assert counted(metrics, "sam_worker_recovered_jobs_total", outcome="failed") == 1


def test_a_look_at_the_queue_tells_its_length_its_age_and_who_works(scene: Scene) -> None:
    empty = queue_load(scene.redis, FAKE)
    assert (empty.waiting, empty.running, empty.workers, empty.oldest) == (0, 0, 0, 0)
    scene.queue.submit(KEY)
    scene.queue.submit(replace(KEY, image_id=KEY.image_id[::-1]))
    worker = scene.worker()
    worker.register_birth()
    load = queue_load(scene.redis, FAKE)
    assert (load.waiting, load.running, load.workers) == (2, 0, 1)
    assert load.oldest > 0
    scene.redis.delete(worker.key)  # as if the worker died a while ago
    assert queue_load(scene.redis, FAKE).workers == 0


def test_workers_of_one_host_share_the_ports_out() -> None:
    port = free_port()
    with (
        metrics_server(WorkerMetrics("one").application, "127.0.0.1", port) as first,
        metrics_server(WorkerMetrics("two").application, "127.0.0.1", port) as second,
    ):
        assert first == port
        assert second is not None
        assert second > port
        assert in_text(fetched(first, "/metrics"), "sam_worker_build_info", model="one") == 1
        assert in_text(fetched(second, "/metrics"), "sam_worker_build_info", model="two") == 1


def test_nothing_but_metrics_is_served() -> None:
    with metrics_server(WorkerMetrics().application, "127.0.0.1", free_port()) as port:
        assert port is not None
        assert "sam_worker_resident_memory_bytes" in fetched(port, "/metrics")
        for path in ("/", "/favicon.ico", "/metrics/more"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                fetched(port, path)


def test_a_client_that_says_nothing_does_not_keep_the_next_from_its_metrics() -> None:
    with metrics_server(WorkerMetrics().application, "127.0.0.1", free_port()) as port:
        assert port is not None
        with socket.create_connection(("127.0.0.1", port)):
            assert "sam_worker_build_info" in fetched(port, "/metrics")


def test_port_0_serves_nothing() -> None:
    with metrics_server(WorkerMetrics().application, "127.0.0.1", 0) as port:
        assert port is None


def test_an_address_that_is_not_ours_is_refused() -> None:
    with (
        pytest.raises(ConfigurationError, match="SAM_WORKER_METRICS_HOST"),
        metrics_server(WorkerMetrics().application, "192.0.2.1", 9100),
    ):
        pass


def test_a_range_of_ports_that_is_taken_is_refused() -> None:
    with ExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 65_535)))
        assert taken.getsockname()[1] + PORTS > 65_535
        with pytest.raises(ConfigurationError, match="SAM_WORKER_METRICS_PORT"):
            stack.enter_context(metrics_server(WorkerMetrics().application, "127.0.0.1", 65_535))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def fetched(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
        return str(answer.read().decode())


def test_the_metrics_are_served_on_after_an_error_of_the_server_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = threading.Event()
    serve_forever = WSGIServer.serve_forever

    def fail_once(server: WSGIServer, poll_interval: float = 0.01) -> None:
        if not failed.is_set():
            failed.set()
            raise ValueError("its loop is broken")
        serve_forever(server, poll_interval)

    monkeypatch.setattr("shared.observe.metrics_server._PAUSE", 0.01)
    monkeypatch.setattr(WSGIServer, "serve_forever", fail_once)
    with metrics_server(WorkerMetrics("fake").application, "127.0.0.1", free_port()) as port:
        url = f"http://127.0.0.1:{port}/metrics"
        assert b"sam_worker_build_info" in urllib.request.urlopen(url, timeout=30).read()
    assert failed.is_set()
