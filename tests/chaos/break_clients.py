"""Clients that do harm: some never read, one asks for very much, some say nothing."""

from __future__ import annotations

import json
import math
import os
import resource
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from prompt_api.models.browser_runtime import RUNTIME
from tests.chaos.material import HEIGHT, WIDTH
from tests.chaos.scenery import Scenery

STALLED = 60
"""Connections that ask for much and read nothing: more than all API processes have threads."""

HEAVY = 20
"""Connections of the heavy client, each with a request of `PROMPTS` prompts under way all the time."""

PROMPTS = 64
SILENT = 200
"""Connections that say nothing: more than the API processes may open files meanwhile."""

SPARE_FILES = 12
"""Files that an API process may still open while descriptors are short."""

PROMISED = 1.0
"""The most seconds that /healthz may take, and that a light client's prompt may take at p95."""

LINES_PER_SECOND = 300
"""More lines of log than the load of a run makes."""


@contextmanager
def stalled_readers(scenery: Scenery) -> Iterator[None]:
    """They ask for the largest file there is, and read nothing of it."""
    path = _large_file(scenery)
    with ExitStack() as held:
        for _ in range(STALLED):
            sock = held.enter_context(_connected(scenery, small_window=True))
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        _watch_health(scenery, 2 * scenery.hold)
    scenery.injected.note += f" beside {STALLED} readers of {path.rpartition('/')[2]}"
    yield


@contextmanager
def heavy_client(scenery: Scenery) -> Iterator[None]:
    """It has many large requests under way on one image, while a light client prompts on another."""
    stop, answers = threading.Event(), Counter[str]()
    with ExitStack() as held:
        connections = [HTTPConnection(_address(scenery), timeout=120) for _ in range(HEAVY)]
        target = f"/v1/images/{scenery.kept[0].image_id}/masks"
        points = [{"points": [[(7 * n) % WIDTH, (5 * n) % HEIGHT]], "labels": [1]} for n in range(1, PROMPTS + 1)]
        body = json.dumps({"prompts": points}).encode()

        def ask(connection: HTTPConnection) -> None:
            while not stop.is_set():
                try:
                    connection.request("POST", target, body)
                    answer = connection.getresponse()
                    content = answer.read()
                except (OSError, HTTPException) as error:
                    if not stop.is_set():
                        answers[type(error).__name__] += 1
                    return
                code = "" if answer.status == 200 else json.loads(content).get("code", "no code")
                answers[f"{answer.status} {code}".strip()] += 1
                stop.wait(0.1)

        threads = [threading.Thread(target=ask, args=(connection,), daemon=True) for connection in connections]
        held.callback(_end, stop, connections, threads)
        for thread in threads:
            thread.start()
        light = _prompt_lightly(scenery, 3 * scenery.hold)
    scenery.injected.note = f"{len(light)} light prompts beside {dict(answers.most_common())}"
    refused = light.count(math.inf)
    if refused > len(light) / 10:
        scenery.injected.broken.append(f"{refused} of {len(light)} light prompts were refused")
    elif (p95 := statistics.quantiles(light, n=20)[-1]) > PROMISED * scenery.slack:
        scenery.injected.broken.append(f"a light prompt took {p95:.1f} s at p95")
    for answered in answers.keys() - {"200", "503 overloaded", "503 store-unavailable", "429 rate-limited"}:
        scenery.injected.broken.append(f"the heavy client was answered {answered}")
    yield


@contextmanager
def short_of_descriptors(scenery: Scenery) -> Iterator[None]:
    """API processes may open a few more files, and very many clients connect and say nothing."""
    lines, began = scenery.stack.lines("api"), time.monotonic()
    with ExitStack() as held:
        for pid in scenery.stack.api_pids():
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            held.callback(_allow_files, pid, soft, hard)
            _allow_files(pid, len(os.listdir(f"/proc/{pid}/fd")) + SPARE_FILES, hard)
        with ExitStack() as silent:
            for _ in range(SILENT):
                silent.enter_context(_connected(scenery))
            scenery.stay()
    per_second = (scenery.stack.lines("api") - lines) / (time.monotonic() - began)
    if per_second > LINES_PER_SECOND:
        scenery.injected.broken.append(f"the log grew by {per_second:.0f} lines a second")
    yield


def _allow_files(pid: int, soft: int, hard: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


def _large_file(scenery: Scenery) -> str:
    """The path of the browser's runtime, if this service has it; else of an embedding."""
    largest = max(RUNTIME.files, key=lambda file: file.size)
    path = f"/static/runtime/{RUNTIME.version}/{largest.name}"
    connection = HTTPConnection(_address(scenery), timeout=60)
    connection.request("HEAD", path)
    found = connection.getresponse().status == 200
    connection.close()
    return path if found else f"/v1/images/{scenery.kept[0].image_id}/embedding"


def _watch_health(scenery: Scenery, seconds: float) -> None:
    """Ask for /healthz all the time, each time on a connection of its own, which any process may serve."""
    longest, until = 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        connection = HTTPConnection(_address(scenery), timeout=10)
        try:
            connection.request("GET", "/healthz")
            status: object = connection.getresponse().status
        except (OSError, HTTPException) as error:
            status = type(error).__name__
        connection.close()
        if status != 200:
            scenery.injected.broken.append(f"/healthz was answered {status}")
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.05)
    scenery.injected.note = f"/healthz within {longest:.2f} s"
    if longest > PROMISED * scenery.slack:
        scenery.injected.broken.append(f"/healthz took {longest:.1f} s")


def _prompt_lightly(scenery: Scenery, seconds: float) -> list[float]:
    """Seconds that each prompt took, infinite where it was refused."""
    took, until = [], time.monotonic() + seconds
    kept = scenery.kept[1]
    while time.monotonic() < until or len(took) < 2:
        began = time.monotonic()
        answer = scenery.client.checked_masks(scenery.material, kept.scene, kept.image_id, 0, wait=0)
        took.append(time.monotonic() - began if answer.status == 200 else math.inf)
        time.sleep(0.1)
    return took


def _end(stop: threading.Event, connections: list[HTTPConnection], threads: list[threading.Thread]) -> None:
    stop.set()
    for connection in connections:
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
    for thread in threads:
        thread.join()
    for connection in connections:
        connection.close()


def _connected(scenery: Scenery, *, small_window: bool = False) -> socket.socket:
    host, _, port = _address(scenery).rpartition(":")
    sock = socket.socket()
    if small_window:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(10)
    sock.connect((host, int(port)))
    return sock


def _address(scenery: Scenery) -> str:
    return urlsplit(scenery.stack.url).netloc
