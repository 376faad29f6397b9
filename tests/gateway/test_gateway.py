"""The gateway's configuration in the real HAProxy with real replicas: where requests go, and what a failure costs."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import httpx
import numpy as np
import pytest
from PIL import Image

from prompt_api.access.headers import EVERYWHERE
from tests.support.fleet import CONFIGURATION, MAX_BODY, Fleet, haproxy

CLICK = {"prompts": [{"points": [[40, 30]], "labels": [1]}]}


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with Fleet(3, workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def images(fleet: Fleet) -> list[str]:
    """Return the ids of twelve encoded images."""
    with httpx.Client(base_url=fleet.url, timeout=30) as http:
        return [upload(http, png(seed)) for seed in range(12)]


@dataclass
class Load:
    """The results of clients that kept prompting while something happened."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)
    enough: threading.Condition = field(default_factory=threading.Condition)

    def wait_for(self, more: int) -> None:
        """Wait until this many more answers have come, for at most 60 s."""
        with self.enough:
            goal = self.answered + more
            assert self.enough.wait_for(lambda: self.answered >= goal, 60), self.failures[:3]


def test_an_image_stays_on_one_replica_and_images_spread(fleet: Fleet, images: list[str]) -> None:
    first = homes_of(fleet, images)
    assert homes_of(fleet, images) == first
    assert len(set(first.values())) == 3


def test_a_replica_that_is_killed_costs_no_prompt_and_moves_only_its_own_images(
    fleet: Fleet, images: list[str]
) -> None:
    before = homes_of(fleet, images)
    with prompting(fleet, images) as load:
        load.wait_for(40)
        killed = fleet.replicas[0]
        fleet.kill_replica(killed)
        load.wait_for(120)
    fleet.wait_until_forgotten(killed)
    without = homes_of(fleet, images)
    moved = {before[image_id] for image_id in images if without[image_id] != before[image_id]}
    assert len(moved) == 1
    assert moved.isdisjoint(without.values())
    with prompting(fleet, images) as again:
        fleet.add_replica()
        again.wait_for(40)
    assert homes_of(fleet, images) == before  # the new replica has the place of the killed one
    assert load.failures == again.failures == []


def test_a_replica_that_answers_nothing_for_some_seconds_is_not_taken_out_and_a_dead_one_is(fleet: Fleet) -> None:
    address = fleet.add_replica()
    before = len(fleet.taken_out())
    with fleet.frozen(address):
        threading.Event().wait(3.5)  # two checks that may take a second each would have failed by now
    assert len(fleet.taken_out()) == before
    fleet.kill_replica(address)
    for _ in range(600):
        if len(fleet.taken_out()) > before:
            break
        threading.Event().wait(0.05)
    assert len(fleet.taken_out()) > before


def test_a_rolling_restart_of_everything_costs_nothing(fleet: Fleet, images: list[str]) -> None:
    uploaded: list[str] = []
    with prompting(fleet, images) as load, httpx.Client(base_url=fleet.url, timeout=30) as http:
        load.wait_for(30)
        for number, address in enumerate(fleet.replicas):
            fleet.add_replica()
            uploaded.append(accepted(http, png(100 + number)))
            assert fleet.stop_replica(address) == 0
            load.wait_for(30)
        fleet.replace_worker()
        uploaded.append(accepted(http, png(200)))
        load.wait_for(30)
        for image_id in uploaded:
            assert http.get(f"/v1/images/{image_id}?wait=30").json()["status"] == "ready"
    assert load.failures == []


def test_an_upload_over_the_limit_is_refused_at_the_gateway(fleet: Fleet) -> None:
    answer = httpx.post(f"{fleet.url}/v1/images", content=b"0" * (MAX_BODY + 1), timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (413, "image-too-large")
    assert answer.headers["content-type"] == "application/problem+json"


def test_events_arrive_while_the_stream_is_open(fleet: Fleet, images: list[str]) -> None:
    path = f"{fleet.url}/v1/images/{images[0]}/events"
    with httpx.stream("GET", path, timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "ready" in next(answer.iter_text())


@pytest.mark.parametrize(
    "target",
    [
        "/metrics",
        "/metrics?x=1",
        "/metrics/",
        "/%6Detrics",
        "/metric%73",
        "//metrics",
        "/%2Fmetrics",
        "///%6d%65trics",
        "http://localhost/metrics",
        "http:///metrics",
    ],
)
def test_metrics_are_not_for_the_public_however_they_are_spelled(fleet: Fleet, target: str) -> None:
    status, body = asked_literally(fleet, target)
    assert (status, json.loads(body)["detail"]) == (404, "metrics are read from each replica")


def test_what_only_begins_like_metrics_goes_to_a_replica(fleet: Fleet) -> None:
    status, body = asked_literally(fleet, "/metrics-of-mine")
    assert (status, json.loads(body)["code"]) == (404, "not-found")
    assert b"from each replica" not in body


@pytest.mark.parametrize("sent", ["mine-1", "", "two words", "x" * 65])
def test_a_request_has_one_id_at_the_gateway_and_at_the_replica(fleet: Fleet, images: list[str], sent: str) -> None:
    headers = {"X-Request-ID": sent} if sent else {}
    answer = httpx.post(f"{fleet.url}/v1/images/{images[0]}/masks", json=CLICK, headers=headers, timeout=30)
    (given,) = answer.headers.get_list("x-request-id")
    assert fleet.answered_by([given])
    assert (given == sent) is (sent == "mine-1")
    assert fleet.replica_says(given)


@pytest.mark.parametrize("prefix", ["/samapi/with-token/", "//samapi//with%2Dtoken/"])
def test_the_log_shows_no_token_of_a_path(fleet: Fleet, prefix: str) -> None:
    answer = httpx.get(f"{fleet.url}{prefix}samtok_secret/sam/version/", timeout=30)
    fleet.answered_by([answer.headers["x-request-id"]])  # waits for its line
    assert not fleet.gateway_says("samtok_secret")


def test_an_answer_of_the_gateway_itself_has_an_id(fleet: Fleet) -> None:
    answer = httpx.get(f"{fleet.url}/metrics", headers={"X-Request-ID": "mine-2"}, timeout=30)
    assert (answer.status_code, answer.headers["x-request-id"]) == (404, "mine-2")


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/"], ids=["gateway", "replica", "page"])
def test_every_answer_tells_browsers_to_be_careful_once(fleet: Fleet, path: str) -> None:
    answer = httpx.get(fleet.url + path, timeout=30)
    found = {name: answer.headers.get_list(name) for name in EVERYWHERE}
    if path == "/":
        assert "script-src" in "".join(found.pop("Content-Security-Policy"))
    assert found == {name: [EVERYWHERE[name]] for name in found}


def test_without_a_replica_the_refusal_is_one_of_the_contract() -> None:
    with Fleet(1, workers=0) as lonely:
        lonely.kill_replica(lonely.replicas[0])
        answer = httpx.get(f"{lonely.url}/v1/models", timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert answer.headers["retry-after"] == "1"
    assert len(answer.headers["x-request-id"]) == 36
    assert EVERYWHERE.items() <= {name: answer.headers.get(name) for name in EVERYWHERE}.items()


def asked_literally(fleet: Fleet, target: str) -> tuple[int, bytes]:
    """Return status and body of a GET of `target` exactly as written. An HTTP client would normalize the target."""
    host, port = fleet.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=30)) as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = sock.makefile("rb").read()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


@contextmanager
def prompting(fleet: Fleet, images: list[str], clients: int = 3) -> Iterator[Load]:
    """Run clients that keep prompting one image after the other."""
    load, done = Load(), threading.Event()

    def one(first: int) -> None:
        with httpx.Client(base_url=fleet.url, timeout=30) as http:
            number = first
            while not done.is_set():
                number += 1
                try:
                    answer = http.post(f"/v1/images/{images[number % len(images)]}/masks", json=CLICK)
                except httpx.HTTPError as error:
                    load.failures.append(repr(error))
                    continue
                with load.enough:
                    if answer.status_code == 200:
                        load.answered += 1
                    else:
                        load.failures.append(f"{answer.status_code} {answer.text}")
                    load.enough.notify_all()

    threads = [threading.Thread(target=one, args=(5 * number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        done.set()
        for thread in threads:
            thread.join(35)


def homes_of(fleet: Fleet, images: list[str]) -> dict[str, str]:
    """Return the replica that answers for each image without load, so that no request spills over."""
    with httpx.Client(base_url=fleet.url, timeout=30) as http:
        answers = [http.post(f"/v1/images/{image_id}/masks", json=CLICK) for image_id in images]
    assert {answer.status_code for answer in answers} == {200}
    replicas = fleet.answered_by([answer.headers["x-request-id"] for answer in answers])
    return dict(zip(images, replicas, strict=True))


def upload(http: httpx.Client, data: bytes) -> str:
    """Upload an image, wait until it is encoded, and return its id."""
    answer = http.post("/v1/images?wait=30", content=data)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["image_id"])


def accepted(http: httpx.Client, data: bytes) -> str:
    """Upload an image and return its id, encoded or not."""
    answer = http.post("/v1/images", content=data)
    assert answer.status_code in (200, 202), answer.text
    return str(answer.json()["image_id"])


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (60, 80, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_without_its_variables_it_says_in_one_sentence_what_to_set() -> None:
    environ = {"PATH": os.environ["PATH"], "BIND": "127.0.0.1:0"}
    done = subprocess.run(
        [haproxy(), "-f", str(CONFIGURATION)], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    alerts = [line for line in done.stderr.splitlines() if line.startswith("[ALERT]") and "Error(s)" not in line]
    assert len(alerts) == 1
    assert "set the variables BIND, UPSTREAM, DNS, MAX_REPLICAS and MAX_BODY" in alerts[0]
