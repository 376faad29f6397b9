"""A Label Studio that takes connections and never answers, under a crowd of annotators who click."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from deploy.local.stack import LocalStack
from prompt_api.integrations.label_studio.instance import IDLE_SECONDS
from tests.support.label_studio import POINT, STORED, request
from tests.support.world import png

THREADS = 16
AT_ONCE = IDLE_SECONDS / 2
"""Seconds: far less than a fetch takes to be given up, and enough for a busy machine."""


@pytest.fixture
def stack() -> Iterator[LocalStack]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = {"SAM_MODEL": "fake", "SAM_API_THREADS": str(THREADS), "SAM_LABEL_STUDIO_URL": url}
        with LocalStack(settings) as running:
            yield running


def test_while_label_studio_hangs_everything_else_is_answered_at_once(stack: LocalStack) -> None:
    image_id = httpx.post(f"{stack.url}/v1/images?wait=20", content=png()).json()["image_id"]

    def click(number: int) -> tuple[float, httpx.Response]:
        task = {**STORED, "data": {"image": f"/data/upload/1/{number}.png"}}
        began = time.monotonic()
        answer = httpx.post(f"{stack.url}/label-studio/predict", json=request(POINT, task=task), timeout=60)
        return time.monotonic() - began, answer

    with ThreadPoolExecutor(THREADS) as annotators:
        clicks = [annotators.submit(click, number) for number in range(THREADS)]
        began = time.monotonic()
        while sum(future.done() for future in clicks) < THREADS // 2:  # those for whom no thread was spared
            assert time.monotonic() < began + AT_ONCE
            time.sleep(0.01)
        for method, path, options in (
            ("GET", "/healthz", {}),
            ("POST", f"/v1/images/{image_id}/masks", {"json": {"prompts": [{"points": [[40, 30]], "labels": [1]}]}}),
            ("POST", "/v1/images", {"content": png(colour=(7, 7, 7))}),
        ):
            answer = httpx.request(method, stack.url + path, timeout=AT_ONCE, **options)
            assert answer.is_success, answer.text
        answers = [future.result()[1] for future in clicks]
    assert sum(answer.status_code == 200 for answer in answers) == THREADS // 2
    assert {answer.json()["code"] for answer in answers if not answer.is_success} <= {"image-unreachable", "overloaded"}
