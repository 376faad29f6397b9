"""The API as processes on a socket: behaviour that only a real server has."""

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
from contextlib import ExitStack, closing, contextmanager

import httpx
import pytest

from prompt_api.serving.body_budget import MOST, RESERVED
from tests.support.stack import ObservedStack
from tests.support.world import png

CAP = 200_000
PATIENCE = 60.0
"""Seconds after which a test gives up; nothing asserted depends on it."""


@pytest.fixture(scope="module")
def stack() -> Iterator[ObservedStack]:
    settings = {"SAM_MODEL": "fake", "SAM_MAX_UPLOAD_BYTES": str(CAP), "SAM_API_THREADS": "4"}
    with ObservedStack(settings) as running:
        yield running


@contextmanager
def connection(stack: ObservedStack) -> Iterator[socket.socket]:
    host, port = stack.url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)), timeout=PATIENCE)) as sock:
        yield sock


def received(sock: socket.socket) -> bytes:
    answer = b""
    while chunk := sock.recv(65536):
        answer += chunk
    return answer


def problem_of(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return int(head.split()[1]), json.loads(body)["code"]


@pytest.mark.parametrize("size", [CAP + 1, 40_000_000])
def test_an_oversized_body_is_refused_and_the_refusal_arrives(stack: ObservedStack, size: int) -> None:
    with connection(stack) as sock:
        sock.sendall(
            b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            + f"Content-Length: {size}\r\n\r\n".encode()
        )
        sock.sendall(bytes(size))
        assert problem_of(received(sock)) == (413, "image-too-large")


@pytest.mark.parametrize("size", [CAP + 1, 40_000_000])
def test_an_oversized_chunked_body_is_refused_and_the_refusal_arrives(stack: ObservedStack, size: int) -> None:
    with connection(stack) as sock:
        sock.sendall(
            b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        sock.sendall(b"%x\r\n" % size + bytes(size) + b"\r\n0\r\n\r\n")
        assert problem_of(received(sock)) == (413, "image-too-large")


def test_a_chunked_upload_within_the_cap_is_taken(stack: ObservedStack) -> None:
    def pieces() -> Iterator[bytes]:
        data = png()
        for start in range(0, len(data), 100):
            yield data[start : start + 100]

    answer = httpx.post(f"{stack.url}/v1/images?wait=20", content=pieces(), timeout=60)
    assert answer.status_code == 200, answer.text


def test_an_upload_without_any_body_needs_a_length(stack: ObservedStack) -> None:
    with connection(stack) as sock:
        sock.sendall(b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert problem_of(received(sock)) == (411, "length-required")


def test_an_empty_upload_is_an_invalid_image(stack: ObservedStack) -> None:
    answer = httpx.post(f"{stack.url}/v1/images", content=b"")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-image")


def test_invalid_http_is_answered_with_a_problem(stack: ObservedStack) -> None:
    with connection(stack) as sock:
        sock.sendall(b"POST /v1/images HTTP/1.1\r\nContent-Length: many\r\n\r\n")
        assert problem_of(received(sock)) == (400, "bad-request")


def test_fifty_slow_clients_do_not_stop_the_next(stack: ObservedStack) -> None:
    slow = [connection(stack) for _ in range(50)]
    try:
        for client in slow:
            client.__enter__().sendall(
                b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nslow"
            )
        assert httpx.get(f"{stack.url}/healthz", timeout=PATIENCE).status_code == 200
        assert httpx.post(f"{stack.url}/v1/images?wait=20", content=png(), timeout=30).status_code == 200
    finally:
        for client in slow:
            client.__exit__(None, None, None)


def test_unfinished_uploads_take_a_bounded_room_and_leave_it_when_they_end(stack: ObservedStack) -> None:
    size = 16 * 1024 * 1024
    begun = f"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode()
    with ExitStack() as unfinished:
        for _ in range((MOST - RESERVED) // size):
            client = unfinished.enter_context(connection(stack))
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")  # a thread has seen the connection
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
            client.sendall(begun + bytes(size - 1))
        assert httpx.get(f"{stack.url}/healthz", timeout=PATIENCE).status_code == 200  # what came before it was read
        with connection(stack) as late:
            late.sendall(begun)
            answer = received(late)
        assert problem_of(answer) == (503, "overloaded")
        assert b"\r\nRetry-After: " in answer
        assert httpx.post(f"{stack.url}/v1/images?wait=20", content=png(), timeout=30).status_code == 200
    with connection(stack) as after:
        after.sendall(
            begun.replace(b"Host: localhost", b"Host: localhost\r\nExpect: 100-continue\r\nConnection: close")
        )
        assert after.recv(65536).startswith(b"HTTP/1.1 100")


def test_more_waiting_requests_than_threads_leave_room_for_prompts(stack: ObservedStack) -> None:
    image_id = httpx.post(f"{stack.url}/v1/images?wait=20", content=png(), timeout=60).json()["image_id"]
    os.kill(stack.pids("worker")[0], signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(8) as pool:
            waiting = [
                pool.submit(httpx.post, f"{stack.url}/v1/images?wait=3", content=png(colour=(n, 9, 9)), timeout=30)
                for n in range(8)
            ]
            body = {"prompts": [{"points": [[40, 30]], "labels": [1]}]}
            assert httpx.post(f"{stack.url}/v1/images/{image_id}/masks", json=body, timeout=30).status_code == 200
            assert {future.result().status_code for future in waiting} == {202}
    finally:
        os.kill(stack.pids("worker")[0], signal.SIGCONT)


def test_events_are_streamed_until_the_image_is_ready(stack: ObservedStack) -> None:
    os.kill(stack.pids("worker")[0], signal.SIGSTOP)
    try:
        image_id = httpx.post(f"{stack.url}/v1/images", content=png(colour=(77, 1, 2))).json()["image_id"]
        with httpx.stream("GET", f"{stack.url}/v1/images/{image_id}/events", timeout=30) as answer:
            lines = answer.iter_lines()
            assert "event: queued" in [next(lines) for _ in range(3)]
            os.kill(stack.pids("worker")[0], signal.SIGCONT)
            names = [line for line in lines if line.startswith("event: ")]
    finally:
        os.kill(stack.pids("worker")[0], signal.SIGCONT)
    assert names[-1] == "event: ready"


def test_fifty_uploads_of_one_new_image_are_encoded_once(stack: ObservedStack) -> None:
    data = png(200, 150, (5, 77, 5))
    with ThreadPoolExecutor(50) as pool:
        answers = list(
            pool.map(lambda _: httpx.post(f"{stack.url}/v1/images?wait=20", content=data, timeout=60), range(50))
        )
    assert {answer.status_code for answer in answers} <= {200, 202}
    image_id = answers[0].json()["image_id"]
    assert httpx.get(f"{stack.url}/v1/images/{image_id}?wait=20", timeout=60).json()["status"] == "ready"
    assert len(stack.lines("worker 1", image_id[:12], "encoded by")) == 1


def test_several_processes_share_one_port_and_replace_each_other(stack: ObservedStack) -> None:
    environ = {
        **os.environ,
        "SAM_MODEL": "fake",
        "SAM_CACHE_URL": stack.valkey_url,
        "SAM_QUEUE_URL": stack.queue_url,
        "SAM_PORT": "0",
        "SAM_API_PROCESSES": "2",
    }
    command = [sys.executable, "-m", "prompt_api"]
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        line = next(line for line in server.stderr if "starting on" in line)
        url = line.split()[-1]
        try:
            wait_until_ready(url)
            children = child_pids(server.pid)
            assert len(children) == 2
            os.kill(children[0], signal.SIGKILL)
            deadline = time.monotonic() + PATIENCE
            while len(fresh := set(child_pids(server.pid)) - set(children)) == 0:
                assert time.monotonic() < deadline
            assert fresh
            wait_until_ready(url)
        finally:
            server.send_signal(signal.SIGTERM)
            server.stderr.close()
        assert server.wait(PATIENCE) == 0
    assert child_pids(server.pid) == []


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            assert httpx.get(f"{url}/readyz", timeout=30).status_code == 200
        except httpx.TransportError:  # the server does not listen yet
            assert time.monotonic() < deadline
        else:
            return


def child_pids(parent: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]
