"""Metrics of the real stack: they explain the times that clients measure, and any API process reports them all."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.stack import ObservedStack
from tests.support.world import png

MASKS, UPLOAD = "/v1/images/{image_id}/masks", "/v1/images"
CLICK = {"prompts": [{"points": [[600, 400]], "labels": [1]}]}
HELD = 2.0
"""Seconds that the worker is stopped while an image waits for it."""

BATCH = {"prompts": 64 * CLICK["prompts"]}
PART = 0.25
"""Part of what a client saw that may go unexplained. What is compared takes seconds, and on a slow machine all of it
takes longer, so that a process that is put aside between two clocks does not count."""

SOON = 60.0


class Scraped:
    """The values of one scrape, or the difference between two scrapes."""

    def __init__(self, values: Counter[tuple[str, frozenset[tuple[str, str]]]]) -> None:
        self._values = values

    @classmethod
    def of(cls, client: httpx.Client, url: str) -> Scraped:
        answer = client.get(url)
        assert answer.status_code == 200, answer.text
        found: Counter[tuple[str, frozenset[tuple[str, str]]]] = Counter()
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                found[sample.name, frozenset(sample.labels.items())] += sample.value  # type: ignore[assignment]
        return cls(found)

    def since(self, before: Scraped) -> Scraped:
        difference = Counter(self._values)
        difference.subtract(before._values)
        return Scraped(difference)

    def sum(self, name: str, **labels: str) -> float:
        wanted = set(labels.items())
        return sum(value for (known, has), value in self._values.items() if known == name and wanted <= has)

    def has(self, name: str) -> bool:
        return any(known == name for known, _ in self._values)


class Watched:
    """A running stack and its scrapes."""

    def __init__(self, stack: ObservedStack, worker_port: int) -> None:
        self.stack = stack
        self._worker_url = f"http://127.0.0.1:{worker_port}/metrics"
        self.client = httpx.Client(base_url=stack.url, headers={"Connection": "close"}, timeout=SOON)
        """Opens a new connection for each request, so that the kernel spreads them over the API's processes."""

    def api(self) -> Scraped:
        return Scraped.of(self.client, "/metrics")

    def worker(self) -> Scraped:
        return Scraped.of(self.client, self._worker_url)

    @contextmanager
    def stopped_worker(self) -> Iterator[None]:
        worker = self.stack.pids("worker")[0]
        os.kill(worker, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(worker, signal.SIGCONT)

    def timed(self, method: Callable[[], httpx.Response]) -> tuple[float, httpx.Response]:
        began = time.perf_counter()
        answer = method()
        return time.perf_counter() - began, answer


@pytest.fixture(scope="module")
def watched(weights: Path) -> Iterator[Watched]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"SAM_API_PROCESSES": "2", "SAM_WORKER_METRICS_PORT": str(port)}
    with ObservedStack(settings) as stack:
        running = Watched(stack, port)
        with running.client:
            yield running


def explained(metrics: float, seen: float) -> bool:
    """Whether the seconds that metrics tell of are those that somebody saw."""
    return abs(metrics - seen) <= PART * seen


def test_queue_and_encode_times_add_up_to_what_the_client_of_an_upload_saw(watched: Watched) -> None:
    api, worker = watched.api(), watched.worker()
    with httpx.Client(base_url=watched.stack.url, timeout=SOON) as client, ThreadPoolExecutor(1) as pool:
        with watched.stopped_worker():
            upload = pool.submit(
                watched.timed, lambda: client.post("/v1/images?wait=30", content=png(1200, 800, (9, 90, 90)))
            )
            until(lambda: watched.api().sum("sam_api_requests_in_flight") == 2, watched)  # the scrape is the other one
            time.sleep(HELD)
        seen, uploaded = upload.result()
    assert uploaded.json()["status"] == "ready", uploaded.text
    api, worker = watched.api().since(api), watched.worker().since(worker)
    assert worker.sum("sam_worker_stage_seconds_count", stage="encode") == 1
    stages = "sam_api_stage_seconds_sum"
    waited = api.sum(stages, route=UPLOAD, stage="wait")
    encoding = worker.sum("sam_worker_queue_seconds_sum") + worker.sum("sam_worker_stage_seconds_sum")
    assert min(waited, encoding) > HELD / 2
    assert explained(encoding, waited), (encoding, waited)
    assert explained(api.sum(stages, route=UPLOAD) - waited + encoding, seen), (api.sum(stages, route=UPLOAD), seen)


def test_fetch_decode_and_mask_times_add_up_to_what_the_client_of_prompts_saw(watched: Watched) -> None:
    image_id = watched.client.post("/v1/images?wait=30", content=png(1200, 800)).json()["image_id"]
    before = watched.api()
    seen, answer = watched.timed(lambda: watched.client.post(f"/v1/images/{image_id}/masks", json=BATCH))
    assert answer.status_code == 200, answer.text
    api = watched.api().since(before)
    stages = "sam_api_stage_seconds_sum"
    named = api.sum(stages, route=MASKS) - api.sum(stages, route=MASKS, stage="other")
    durations = api.sum("sam_api_request_duration_seconds_sum", route=MASKS)
    assert api.sum("sam_api_stage_seconds_count", route=MASKS, stage="decode") == 1
    assert explained(named, seen), (named, seen)
    assert explained(durations, seen), (durations, seen)


def test_every_process_answers_for_all_of_them(watched: Watched) -> None:
    image_id = watched.client.post("/v1/images?wait=30", content=png(300, 200)).json()["image_id"]
    before = watched.api()
    sent = 24
    for _ in range(sent):
        answer = watched.client.post(f"/v1/images/{image_id}/masks", json={"prompts": [{"box": [9, 9, 90, 90]}]})
        assert answer.status_code == 200, answer.text
    scrapes = [watched.api().since(before) for _ in range(8)]
    assert {scrape.sum("sam_api_requests_total", route=MASKS, status="200") for scrape in scrapes} == {sent}
    assert {scrape.sum("sam_api_prompts_total") for scrape in scrapes} == {sent}
    assert watched.api().sum("sam_api_processes") == 2
    assert watched.api().sum("sam_api_requests_in_flight") == 1  # the scrape itself is in flight


def test_what_never_reaches_the_application_is_counted_too(watched: Watched) -> None:
    before = watched.api()
    host, port = watched.stack.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=SOON) as connection:
        connection.sendall(b"POST /v1/images HTTP/1.1\r\nContent-Length: many\r\n\r\n")
        while connection.recv(4096):
            pass
    refused = watched.api().since(before)
    assert refused.sum("sam_api_requests_total", route="other", status="400", code="bad-request") == 1


def test_the_queue_is_looked_at_from_the_api(watched: Watched) -> None:
    with watched.stopped_worker():
        for size in ((40, 30), (30, 40)):
            assert watched.client.post("/v1/images", content=png(*size)).status_code == 202
        scrape = watched.api()
    # The stopped worker may have been in a blocking call for a job. Then Redis has already given it the first job.
    assert scrape.sum("sam_queue_waiting_jobs") in (1, 2)
    assert 0 < scrape.sum("sam_queue_oldest_seconds") < SOON
    assert scrape.sum("sam_queue_workers") == 1
    assert scrape.sum("sam_api_dependency_up") == 3


def test_a_killed_process_leaves_its_counts_and_nothing_else(watched: Watched) -> None:
    before = watched.api()
    supervisor = watched.stack.pids("api")[0]
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children")
    victim = children.read_text().split()[0]
    with ThreadPoolExecutor(4) as pool:
        with watched.stopped_worker():
            held = [pool.submit(watched.client.post, "/v1/images?wait=30", content=png(50, 20 + n)) for n in range(4)]
            until(lambda: watched.api().sum("sam_api_requests_in_flight") == len(held) + 1, watched)
            os.kill(int(victim), signal.SIGKILL)
            until(lambda: victim not in (now := children.read_text().split()) and len(now) == 2, watched)
            in_flight = watched.api().sum("sam_api_requests_in_flight")
        lost = sum(isinstance(future.exception(), httpx.TransportError) for future in held)
    assert in_flight == len(held) - lost + 1
    gone = watched.api().since(before)
    assert gone.sum("sam_api_requests_total", route=UPLOAD) == len(held) - lost
    assert gone.sum("sam_api_requests_total", route=MASKS) == 0


def until(happened: Callable[[], bool], watched: Watched) -> None:
    """Wait until `happened` returns True. Ignore transport errors: a scrape may reach the killed process."""
    deadline = time.monotonic() + SOON
    while True:
        with suppress(httpx.TransportError):
            if happened():
                return
        assert time.monotonic() < deadline, watched.stack.log("api")
        time.sleep(0.05)
