"""A Label Studio that accepts connections and never answers, while many annotators click."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import islice
from typing import Any

import httpx
import pytest
from flask import Flask
from waitress import wasyncore
from waitress.server import create_server

from prompt_api.integrations.label_studio import instance, pictures
from tests.support.label_studio import POINT, STORED, request
from tests.support.world import new_world, png

THREADS = 16
PATIENCE = 60.0
"""Seconds after which a request counts as hung. A request that works takes far less."""

NEVER = 3600.0


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve `app` with the service's HTTP server and yield its address."""
    connections: dict[int, object] = {}
    server = create_server(app, map=connections, host="127.0.0.1", port=0, threads=THREADS)
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            wasyncore.loop(timeout=0.1, map=connections, count=1)
        server.task_dispatcher.shutdown()
        wasyncore.close_all(connections)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        over.set()
        thread.join(PATIENCE)


def test_while_label_studio_hangs_everything_else_is_answered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # A fetch normally ends after some seconds. Here it hangs until the end of the test, however long that takes.
    for module, name in ((instance, "IDLE_SECONDS"), (instance, "FETCH_SECONDS"), (pictures, "TURN_SECONDS")):
        monkeypatch.setattr(module, name, NEVER)
    others: list[tuple[str, str, dict[str, Any]]]
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent, ThreadPoolExecutor(THREADS) as annotators:
        world = new_world(label_studio_url=f"http://127.0.0.1:{silent.getsockname()[1]}", api_threads=THREADS)
        image_id = world.ready_image(png())
        others = [
            ("GET", "/healthz", {}),
            ("POST", f"/v1/images/{image_id}/masks", {"json": {"prompts": [{"points": [[40, 30]], "labels": [1]}]}}),
            ("POST", "/v1/images", {"content": png(colour=(7, 7, 7))}),
        ]
        with served(world.client.application) as url:

            def click(number: int) -> httpx.Response:
                task = {**STORED, "data": {"image": f"/data/upload/1/{number}.png"}}
                return httpx.post(f"{url}/label-studio/predict", json=request(POINT, task=task), timeout=PATIENCE)

            clicks = [annotators.submit(click, number) for number in range(THREADS)]
            spared = list(islice(as_completed(clicks, PATIENCE), THREADS // 2))  # not fetched: no thread was left
            for method, path, options in others:
                answer = httpx.request(method, url + path, timeout=PATIENCE, **options)
                assert answer.is_success, answer.text
            assert sum(one.done() for one in clicks) == len(spared)
            silent.close()
            answers = [one.result() for one in clicks]
        world.services.label_studio.close()
    assert [one.result().status_code for one in spared] == [200] * len(spared)
    assert {one.json().get("code") for one in answers} == {None, "image-unreachable"}
