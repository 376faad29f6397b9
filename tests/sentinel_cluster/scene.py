"""The API in this process on given Redis URLs, a worker in its own process, and a client's view of both."""

from __future__ import annotations

import hashlib
import io
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask
from PIL import Image

from prompt_api.http.app import create_app
from prompt_api.wiring import wired_services
from shared.contract.settings import Settings
from tests.support.waiting import waited

MOST = 2.0 + 1.0
"""The most seconds that a request waits, whatever Redis does, with slack. One second is typical."""

CLICK = {"prompts": [{"points": [[40, 30]], "labels": [1]}]}
NO_RECIPE = {"prompts": [{"points": [[40 + n / 10, 30] for n in range(40)], "labels": [1] * 40}]}
"""A prompt whose answer has its logits stored in Redis."""

ROOT = Path(__file__).parents[2]
_numbers = itertools.count()


@dataclass(frozen=True)
class Answer:
    """Attributes:
    seconds: that the request waited.
    """

    status: int
    seconds: float
    body: Any
    retry_after: str | None

    @property
    def refused(self) -> bool:
        """True if this is the answer that is due while Redis does not work."""
        return self.status == 503 and self.body["code"] == "store-unavailable" and self.retry_after is not None


class Scene:
    """The API, as a client sees it."""

    def __init__(self, app: Flask, token: str | None) -> None:
        self._app = app
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, method: str, path: str, **options: Any) -> Answer:
        began = waited()
        answer = self._app.test_client().open(path, method=method, headers=self._headers, **options)
        data = answer.data
        seconds = waited() - began
        return Answer(
            answer.status_code, seconds, answer.json if answer.is_json else data, answer.headers.get("Retry-After")
        )

    def ready(self) -> Answer:
        return self.ask("GET", "/readyz")

    def upload(self, data: bytes | None = None, *, wait: int = 0) -> Answer:
        return self.ask("POST", f"/v1/images?wait={wait}", data=photo() if data is None else data)

    def state(self, image_id: str, *, wait: int = 0) -> Answer:
        return self.ask("GET", f"/v1/images/{image_id}?wait={wait}")

    def prompt(self, image_id: str, body: object = CLICK) -> Answer:
        return self.ask("POST", f"/v1/images/{image_id}/masks", json=body)

    def delete(self, image_id: str) -> Answer:
        return self.ask("DELETE", f"/v1/images/{image_id}")


@contextmanager
def api(settings: Settings, token: str | None = None) -> Iterator[Scene]:
    """Run the API with these settings. `token` is sent with each request."""
    with wired_services(settings) as services:
        yield Scene(create_app(services), token)


@contextmanager
def worker(settings: Settings) -> Iterator[None]:
    """Run a worker process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAM_")}
    environment |= {
        "SAM_MODEL": settings.model,
        "SAM_CACHE_URL": settings.cache_url,
        "SAM_QUEUE_URL": settings.queue_url,
        "SAM_EMBEDDING_DTYPE": "int8",
    }
    process = subprocess.Popen([sys.executable, "-m", "encoder_worker"], env=environment, cwd=ROOT)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()


def photo() -> bytes:
    """Return a photo that was never uploaded before."""
    file = io.BytesIO()
    pixels = np.random.default_rng(next(_numbers)).integers(0, 255, (80, 120, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def ready_image(scene: Scene, data: bytes) -> str:
    """Upload the photo, wait until it is encoded, and return its id."""
    answer = scene.upload(data, wait=30)
    assert (answer.status, answer.body["status"]) == (200, "ready")
    return str(answer.body["image_id"])


def id_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
