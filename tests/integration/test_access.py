"""Access control with real sockets, real processes and a real Redis-compatible server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import httpx
import pytest

from prompt_api.access.grants import Grant, digest_of
from prompt_api.access.new_token import new_token
from prompt_api.access.scopes import Scope
from samcache import RemoteSamPredictor
from samcache.cli.main import main as samcache
from samcache.errors import Unauthorized
from tests.integration.test_http_server import received, wait_until_ready
from tests.support.client_material import picture
from tests.support.stack import ObservedStack
from tests.support.world import png

SHARE = 40
"""Prompts that a client may send in an hour. A search spends a round of points and its examples."""
PATIENCE = 60.0
"""Seconds after which a test gives up; nothing asserted depends on it."""

ALICE, BOB, CAROL, DAVE, ERIN, FRANK = (new_token() for _ in range(6))
TOKENS = ",".join(
    Grant(name, frozenset(Scope), digest_of(token)).entry
    for name, token in {"alice": ALICE, "bob": BOB, "carol": CAROL, "dave": DAVE, "erin": ERIN, "frank": FRANK}.items()
)
CLICK = {"prompts": [{"points": [[40, 30]], "labels": [1]}]}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def stack() -> Iterator[ObservedStack]:
    """Two API processes behind one port."""
    settings = {
        "SAM_MODEL": "fake",
        "SAM_API_PROCESSES": "2",
        "SAM_TOKENS": TOKENS,
        "SAM_RATE_LIMIT_PROMPTS": f"{SHARE}/hour",
    }
    with ObservedStack(settings) as running:
        yield running


@contextmanager
def server(stack: ObservedStack, **settings: str) -> Iterator[str]:
    """One more API process on the stack's Redis; its URL."""
    redis = {"SAM_CACHE_URL": stack.valkey_url, "SAM_QUEUE_URL": stack.queue_url}
    environ = {**os.environ, "SAM_MODEL": "fake", **redis, "SAM_PORT": "0", **settings}
    command = [sys.executable, "-m", "prompt_api"]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            url = next(line for line in process.stderr if "starting on" in line).split()[-1]
            wait_until_ready(url)
            yield url
        finally:
            process.terminate()
            process.stderr.close()


def upload(url: str, token: str, data: bytes) -> str:
    answer = httpx.post(f"{url}/v1/images?wait=20", content=data, headers=bearer(token), timeout=60)
    assert answer.status_code in (200, 202), answer.text
    image_id = str(answer.json()["image_id"])
    shown = httpx.get(f"{url}/v1/images/{image_id}?wait=20", headers=bearer(token), timeout=60)
    assert shown.json()["status"] == "ready"
    return image_id


def prompt(url: str, token: str, image_id: str) -> int:
    """Return the status of a prompt. It uses a new connection, which any of the API processes may accept."""
    answer = httpx.post(f"{url}/v1/images/{image_id}/masks", json=CLICK, headers=bearer(token), timeout=30)
    return answer.status_code


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
@pytest.mark.parametrize("body", ["Content-Length: 20000000", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("credentials", ["", "Authorization: Bearer wrong\r\n"])
def test_a_stranger_is_turned_away_before_the_body_is_sent(
    stack: ObservedStack, credentials: str, body: str, expect: str
) -> None:
    host, port = stack.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=20)) as sock:
        sock.sendall(f"POST /v1/images HTTP/1.1\r\nHost: localhost\r\n{credentials}{expect}{body}\r\n\r\n".encode())
        head, _, answer = received(sock).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401 Unauthorized")
    assert b"www-authenticate: bearer" in head.lower()
    assert b"application/problem+json" in head
    assert json.loads(answer)["code"] == "unauthorized"


def test_a_stranger_who_sends_the_whole_body_reads_why_it_was_refused(stack: ObservedStack) -> None:
    answer = httpx.post(f"{stack.url}/v1/images", content=bytes(5_000_000), timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_orchestrators_and_pages_need_no_token(stack: ObservedStack) -> None:
    for path in ("/healthz", "/readyz", "/", "/static/app.js", "/docs", "/openapi.json"):
        assert httpx.get(stack.url + path, timeout=30).status_code == 200, path
    assert httpx.get(f"{stack.url}/v1/models").status_code == 401


def test_two_tenants_share_an_encoding_and_nothing_else(stack: ObservedStack) -> None:
    data = png(90, 70, (9, 120, 9))
    image_id = upload(stack.url, ALICE, data)
    url = f"{stack.url}/v1/images/{image_id}"
    unknown = f"{stack.url}/v1/images/{'0' * 64}"
    for _ in range(6):  # either process may accept each connection
        theirs, nobodys = (httpx.get(one, headers=bearer(BOB)) for one in (url, unknown))
        assert (theirs.status_code, theirs.content) == (nobodys.status_code, nobodys.content)
        assert theirs.status_code == 404
        assert prompt(stack.url, BOB, image_id) == 404
    assert upload(stack.url, BOB, data) == image_id
    assert len(stack.lines("worker 1", image_id[:12], "encoded by")) == 1
    for _ in range(4):
        assert prompt(stack.url, BOB, image_id) == prompt(stack.url, ALICE, image_id) == 200
    assert httpx.delete(url, headers=bearer(ALICE)).status_code == 204
    until = time.monotonic() + PATIENCE
    while httpx.get(url, headers=bearer(ALICE)).status_code != 404:  # each process hears of it
        assert time.monotonic() < until
    assert prompt(stack.url, BOB, image_id) == 200
    assert httpx.delete(url, headers=bearer(BOB)).status_code == 204


def test_an_example_in_anothers_image_does_not_exist_in_any_process(stack: ObservedStack) -> None:
    shown = png(90, 70, (120, 9, 9))
    hers, his = upload(stack.url, ERIN, shown), upload(stack.url, FRANK, png(80, 70, (120, 9, 9)))

    def ask(example: str) -> httpx.Response:
        body = {"examples": [{**CLICK["prompts"][0], "image_id": example}], "limit": 1}
        return httpx.post(f"{stack.url}/v1/images/{his}/similar", json=body, headers=bearer(FRANK), timeout=30)

    for _ in range(4):  # either process may accept each connection
        theirs, nobodys = ask(hers), ask("0" * 64)
        assert (theirs.status_code, theirs.content) == (nobodys.status_code, nobodys.content)
        assert theirs.status_code == 404
    assert upload(stack.url, FRANK, shown) == hers
    found = ask(hers)
    assert found.status_code == 200, found.text
    assert found.json()["image_id"] == his
    for token in (ERIN, FRANK):
        assert httpx.delete(f"{stack.url}/v1/images/{hers}", headers=bearer(token)).status_code == 204
    until = time.monotonic() + PATIENCE
    while (answer := ask(hers)).status_code not in (404, 429):  # each process hears of it
        assert time.monotonic() < until
    assert answer.status_code == 404


def test_a_clients_share_is_counted_over_all_processes(stack: ObservedStack) -> None:
    image_id = upload(stack.url, CAROL, png())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: prompt(stack.url, CAROL, image_id), range(2 * SHARE)))
    assert sorted(answers) == [200] * SHARE + [429] * SHARE


def test_while_redis_hangs_prompts_on_images_in_memory_are_answered(stack: ObservedStack) -> None:
    image_id = upload(stack.url, DAVE, png())
    with httpx.Client(base_url=stack.url, headers=bearer(DAVE), timeout=30) as client:  # one connection, one process

        def status() -> int:
            return client.post(f"/v1/images/{image_id}/masks", json=CLICK).status_code

        assert status() == 200
        valkeys = stack.pids("valkey")
        for valkey in valkeys:
            os.kill(valkey, signal.SIGSTOP)
        try:
            assert {status() for _ in range(5)} == {200}
        finally:
            for valkey in valkeys:
                os.kill(valkey, signal.SIGCONT)
        until = time.monotonic() + PATIENCE
        while client.get(f"/v1/images/{image_id}").status_code != 200:
            assert time.monotonic() < until


def test_a_start_that_would_let_everybody_in_is_refused() -> None:
    environ = {**os.environ, "SAM_MODEL": "fake", "SAM_HOST": "0.0.0.0", "SAM_PORT": "0", "SAM_API_PROCESSES": "2"}
    command = [sys.executable, "-m", "prompt_api"]
    refused = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=600, check=False)
    assert refused.returncode == 2
    assert "SAM_TOKENS" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_behind_a_trusted_proxy_a_client_is_the_address_that_this_proxy_names(stack: ObservedStack) -> None:
    with server(stack, SAM_RATE_LIMIT_UPLOADS="1/hour", SAM_TRUSTED_PROXIES="1") as url:
        for forwarded, share_is_left in (
            ("198.51.100.1", True),
            ("198.51.100.2", True),
            ("203.0.113.9, 198.51.100.1", False),  # the client itself wrote the addresses before the last
        ):
            headers = {"X-Forwarded-For": forwarded}
            answer = httpx.post(f"{url}/v1/images", content=png(), headers=headers, timeout=30)
            assert (answer.status_code != 429) is share_is_left, forwarded


def test_a_predictor_brings_its_token_over_its_own_connections_and_over_yours(stack: ObservedStack) -> None:
    with RemoteSamPredictor(stack.url, token=ALICE) as predictor:
        predictor.set_image(picture())
        assert ALICE not in repr(vars(predictor))
    with httpx.Client() as mine, RemoteSamPredictor(stack.url, token=ALICE, http=mine) as predictor:
        predictor.set_image(picture())
    with RemoteSamPredictor(stack.url) as predictor, pytest.raises(Unauthorized):
        predictor.set_image(picture())


@pytest.mark.parametrize(
    ("token", "status"),
    [(ALICE, 0), ("", 1), ("not-this-one", 1), ("not\nthis-one", 2)],
    ids=["right", "none", "wrong", "malformed"],
)
def test_the_command_line_brings_its_token_and_never_shows_it(
    stack: ObservedStack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    token: str,
    status: int,
) -> None:
    monkeypatch.setenv("SAMCACHE_TOKEN", token)
    try:
        ended = samcache(["models", "--url", stack.url])
    except SystemExit as usage:
        ended = int(str(usage.code))
    assert ended == status
    shown = capsys.readouterr()
    assert ALICE not in shown.out + shown.err
    assert "this-one" not in shown.out + shown.err
