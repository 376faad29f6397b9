"""Two services with different checkpoints of one model share one Redis. Neither takes the other's jobs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from prompt_api.everything.job.queue import RqEverythingQueue
from prompt_api.http.app import create_app
from prompt_api.metrics.queue_load import queue_load
from prompt_api.models.fake.decoder import FakeDecoder
from prompt_api.wiring import assemble
from shared.contract.keys import EmbeddingKey
from shared.contract.models import VIT_B
from shared.contract.settings import Settings
from shared.events.redis_events import RedisEvents
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.connections import request_client
from shared.store.redis_store import RedisStore

SOON = 60.0
ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("slow_worker.py")


class Service:
    """An API and its worker, which use the same checkpoint."""

    def __init__(self, name: str, url: str, folder: Path, stack: ExitStack) -> None:
        self.model = VIT_B.with_checkpoint(name * 64)
        self._settings = Settings(model=VIT_B.name, cache_url=url)
        self._url, self._stack, self._tally, self._log = url, stack, folder / f"tally-{name}", folder / f"log-{name}"
        client = stack.enter_context(request_client(url, 5))
        self.store = RedisStore(client)
        events = RedisEvents(client)
        stack.callback(events.close)
        self.client: FlaskClient = create_app(
            assemble(
                self._settings,
                models=(self.model,),
                decoders={VIT_B.name: FakeDecoder()},
                decoder_files={},
                store=self.store,
                queue=RqEncodeQueue(client, self._settings),
                everything_jobs=RqEverythingQueue(client, self._settings),
                events=events,
                queue_load=partial(queue_load, client),
            )
        ).test_client()

    def start_worker(self) -> None:
        assert self.model.checkpoint is not None
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SAM_")}
        environ |= {"PYTHONPATH": str(ROOT), "SAM_MODEL": VIT_B.name, "SAM_CACHE_URL": self._url}
        command = [sys.executable, str(WORKER), "0", str(self._tally), "1", self.model.checkpoint.sha256]
        log = self._stack.enter_context(self._log.open("wb"))
        process = subprocess.Popen(command, env=environ, cwd=ROOT, stderr=log)
        self._stack.callback(process.wait, SOON)
        self._stack.callback(process.terminate)

    def upload(self, shade: int) -> str:
        """Upload an image of one colour and return its id."""
        file = BytesIO()
        Image.new("RGB", (40, 30), (shade, shade, shade)).save(file, "PNG")
        answer = self.client.post("/v1/images", data=file.getvalue())
        assert answer.status_code == 202, answer.text
        return str(answer.json["image_id"])

    def status(self, image_id: str, wait: int = 0) -> str:
        return str(self.client.get(f"/v1/images/{image_id}?wait={wait}").json["status"])

    def settled(self, image_id: str) -> str:
        deadline = time.monotonic() + SOON
        while (status := self.status(image_id, wait=5)) not in ("ready", "failed"):
            assert time.monotonic() < deadline, self._log.read_text()
        return status

    def holds(self, image_id: str) -> bool:
        return self.store.exists(EmbeddingKey.of(image_id, self.model).redis_key)

    def gauge(self, name: str) -> float:
        samples = [
            sample
            for family in text_string_to_metric_families(self.client.get("/metrics").text)
            for sample in family.samples
            if sample.name == name
        ]
        assert [sample.labels for sample in samples] == [{"model": VIT_B.name}]
        return samples[0].value

    @property
    def encodings(self) -> int:
        """Number of encodings that the service's own worker has done."""
        return len(self._tally.read_text().splitlines()) if self._tally.exists() else 0


@pytest.fixture
def make_service(valkey_url: str, tmp_path: Path) -> Iterator[Callable[[str], Service]]:
    url = valkey_url + "/9"
    with ExitStack() as stack:
        stack.enter_context(request_client(url, 5)).flushdb()
        yield lambda name: Service(name, url, tmp_path, stack)


def test_each_image_is_encoded_by_the_worker_of_its_own_checkpoint(make_service: Callable[[str], Service]) -> None:
    one, two = make_service("a"), make_service("b")
    both = one.upload(0)
    assert two.upload(0) == both
    ours, theirs = [both, one.upload(1), one.upload(2)], [both, two.upload(3), two.upload(4), two.upload(5)]
    # Only the worker of the second checkpoint runs, so it takes every job that it can.
    two.start_worker()
    assert [two.settled(image_id) for image_id in theirs] == ["ready"] * 4
    assert [one.status(image_id) for image_id in ours] == ["queued"] * 3
    one.start_worker()
    assert [one.settled(image_id) for image_id in ours] == ["ready"] * 3
    assert (one.encodings, two.encodings) == (3, 4)
    assert all(one.holds(image_id) for image_id in ours)
    assert all(two.holds(image_id) for image_id in theirs)
    assert not any(two.holds(image_id) for image_id in ours[1:])


def test_the_metrics_of_each_service_are_about_its_own_queue(make_service: Callable[[str], Service]) -> None:
    one, two = make_service("a"), make_service("b")
    image_ids = [one.upload(1), two.upload(2), two.upload(3)]
    assert [service.gauge("sam_queue_waiting_jobs") for service in (one, two)] == [1, 2]
    two.start_worker()
    assert [two.settled(image_id) for image_id in image_ids[1:]] == ["ready"] * 2
    assert [service.gauge("sam_queue_waiting_jobs") for service in (one, two)] == [1, 0]
    assert [service.gauge("sam_queue_workers") for service in (one, two)] == [0, 1]
