"""A client of the service's HTTP API over one kept connection; only the standard library."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit


class ServiceError(Exception):
    """The service answered with a problem, or not at all; the message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        status: HTTP status.
        body: the parsed JSON object.
        seconds: from the first byte sent to the last byte read.
        server_timing: the `Server-Timing` header, or "".
    """

    status: int
    body: dict[str, Any]
    seconds: float
    server_timing: str


class Client:
    """Not thread-safe: one connection."""

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        """
        Args:
            url: `http://host:port` of the API.
            timeout: seconds any single read or write may take.
        """
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def upload(self, image: bytes) -> Answer:
        """Send a photo; 202 while it has to be encoded, 200 if its embedding is there.

        Raises:
            ServiceError: it is refused.
        """
        return self._send("POST", "/v1/images", image, "application/octet-stream")

    def wait_until_ready(self, image_id: str, seconds: float = 300.0) -> Answer:
        """Ask for the image resource until its status is `ready`.

        Raises:
            ServiceError: encoding failed, or takes longer than `seconds`.
        """
        started = time.monotonic()
        while (elapsed := time.monotonic() - started) < seconds:
            answer = self._send("GET", f"/v1/images/{image_id}?wait=30")
            if answer.body["status"] == "failed":
                raise ServiceError(f"the image could not be encoded: {answer.body.get('error')}")
            if answer.body["status"] == "ready":
                return Answer(answer.status, answer.body, elapsed + answer.seconds, answer.server_timing)
        raise ServiceError(f"the image is not encoded after {seconds:.0f} s")

    def prompt(self, image_id: str, point: tuple[float, float]) -> Answer:
        """Three masks, as RLE, of what lies at `point`, (x, y) in pixels of the oriented photo.

        Raises:
            ServiceError: it is refused.
        """
        request = {"prompts": [{"points": [list(point)], "labels": [1]}], "multimask": True, "format": "rle"}
        body = json.dumps(request).encode()
        return self._send("POST", f"/v1/images/{image_id}/masks", body, "application/json")

    def _send(self, method: str, target: str, body: bytes | None = None, content_type: str | None = None) -> Answer:
        headers = {"Content-Type": content_type} if content_type else {}
        started = time.monotonic()
        try:
            self._connection.request(method, target, body, headers)
            response = self._connection.getresponse()
            raw = response.read()
            seconds = time.monotonic() - started
            answer = json.loads(raw)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ServiceError(f"{method} {target}: {type(error).__name__}: {error}") from error
        if response.status >= 400:
            raise ServiceError(f"{answer.get('code')}: {answer.get('detail')}")
        return Answer(response.status, answer, seconds, response.headers.get("Server-Timing", ""))
