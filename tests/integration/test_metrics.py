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
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.stack import ObservedStack
from tests.support.world import png

MASKS, UPLOAD = "/v1/images/{image_id}/masks", "/v1/images"
CLICK = {"prompts": [{"points": [[600, 400]], "labels": [1]}]}
PART = 0.1
SLACK = 0.008
"""Seconds per request that may stay unexplained in addition: the client's own side of the connection."""

LOOKS = 4
"""Number of tries. On a busy machine a process may be paused between two clock readings, which no stage counts."""

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


@dataclass(frozen=True)
class Explained:
    """A measured time, and how much of it the metrics explain.

    Attributes:
        explained: seconds that the metrics account for.
        seen: seconds that were measured.
        requests: number of requests in that time.
    """

    what: str
    explained: float
    seen: float
    requests: int = 1

    @property
    def well(self) -> bool:
        return abs(self.explained - self.seen) <= PART * self.seen + SLACK * self.requests


def look(watched: Watched, data: bytes) -> list[Explained]:
    """Upload a new image, prompt it, and compare the client's clock with the metrics of both services."""
    api, worker = watched.api(), watched.worker()
    with httpx.Client(base_url=watched.stack.url, timeout=SOON) as client:
        upload_seen, uploaded = watched.timed(lambda: client.post("/v1/images?wait=30", content=data))
        assert uploaded.status_code == 200, uploaded.text
        path = f"/v1/images/{uploaded.json()['image_id']}/masks"
        prompts = [watched.timed(lambda: client.post(path, json=CLICK)) for _ in range(12)]
    assert {answer.status_code for _, answer in prompts} == {200}
    api, worker = watched.api().since(api), watched.worker().since(worker)
    assert worker.sum("sam_worker_stage_seconds_count", stage="encode") == 1
    assert api.sum("sam_api_stage_seconds_count", route=MASKS, stage="decode") == len(prompts)

    stages = "sam_api_stage_seconds_sum"
    waited = api.sum(stages, route=UPLOAD, stage="wait")
    encoding = worker.sum("sam_worker_queue_seconds_sum") + worker.sum("sam_worker_stage_seconds_sum")
    named = api.sum(stages, route=MASKS) - api.sum(stages, route=MASKS, stage="other")
    upload = api.sum(stages, route=UPLOAD) - waited + encoding
    prompts_seen = sum(seconds for seconds, _ in prompts)
    durations = api.sum("sam_api_request_duration_seconds_sum", route=MASKS)
    return [
        Explained("the API's wait, by queue and worker", encoding, waited),
        Explained("the upload, by API, queue and worker", upload, upload_seen),
        Explained("the prompts, by their named stages", named, prompts_seen, len(prompts)),
        Explained("the prompts, by their durations", durations, prompts_seen, len(prompts)),
    ]


def test_queue_encode_fetch_decode_and_mask_times_add_up_to_what_the_client_saw(watched: Watched) -> None:
    looks = []
    for colour in range(LOOKS):
        looks.append(look(watched, png(1200, 800, (colour, 90, 90))))
        if all(one.well for one in looks[-1]):
            return
    pytest.fail("\n".join(map(str, looks)))


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
