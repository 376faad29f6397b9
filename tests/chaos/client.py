"""A client of the service that records every request. It uses one connection and opens a new one when it breaks."""

from __future__ import annotations

import http.client
import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from prompt_api.service.similar import LONGEST_SEARCH
from prompt_api.serving.api_server import UNUSED_SECONDS
from tests.chaos.ledger import Ledger, Request
from tests.chaos.material import EVERYTHING, Material, Scene

_PATIENCE = 60.0
"""Seconds without a byte after which the client gives up on an answer."""

_IDLE = 20.0
"""Seconds without use after which a connection is not used again: the service may close it at any moment.

If connections are short, it may close one that was unused for `UNUSED_SECONDS`, perhaps while the next request is on
its way. Then the request is sent once more on a new connection, as HTTP clients do.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """Attributes:
    status: None after a transport error.
    code: code of the problem document.
    document: the answer, if it was JSON.
    retry_after: seconds; 0 if the service gave no delay.
    """

    status: int | None
    code: str | None
    body: bytes
    document: Mapping[str, Any]
    retry_after: float

    @property
    def gone(self) -> bool:
        return self.status in (404, 410)


class Client:
    """Not safe for several threads."""

    def __init__(self, url: str, ledger: Ledger, masks_route: str = "masks") -> None:
        """Args:
        masks_route: the route name under which prompts are recorded.
        """
        self._address = urlsplit(url).netloc
        self._ledger = ledger
        self._masks_route = masks_route
        self._connection: http.client.HTTPConnection | None = None
        self._used = 0.0

    def close(self) -> None:
        """Close the connection. The next request opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def upload(self, data: bytes, wait: float = 0) -> Answer:
        return self._ask("upload", "POST", "/v1/images", wait, data)

    def status(self, image_id: str, wait: float = 0) -> Answer:
        return self._ask("status", "GET", f"/v1/images/{image_id}", wait)

    def listen(self, image_id: str, seconds: float) -> Answer:
        """Follow the image's events until it is ready or failed, the stream ends, or an event comes after `seconds`.

        The ledger records the time to the first event. `document` is the image resource of the last event.
        """
        self.close()  # it would be idle meanwhile, and its process may be killed
        started = time.monotonic()
        stream = http.client.HTTPConnection(self._address, timeout=_PATIENCE)
        try:
            stream.request("GET", f"/v1/images/{image_id}/events")
            response = stream.getresponse()
            answer = _answer(response, response.read()) if response.status != 200 else _event(response, math.inf)
        except (OSError, http.client.HTTPException) as error:
            answer = _nothing(error)
        self._ledger.record(Request("events", started, time.monotonic(), 0, answer.status, answer.code))
        with closing(stream), suppress(OSError, http.client.HTTPException):  # a stream may end in any way at any time
            while answer.status == 200 and answer.document["status"] not in ("ready", "failed"):
                answer = _event(response, started + seconds)
        return answer

    def masks(self, image_id: str, question: Mapping[str, Any], wait: float = 0) -> Answer:
        return self._ask(self._masks_route, "POST", f"/v1/images/{image_id}/masks", wait, json.dumps(question).encode())

    def similar(self, image_id: str, search: Mapping[str, Any]) -> Answer:
        """Search for similar objects. It may take as long as the search may, which counts as the wait asked for."""
        body = json.dumps(search).encode()
        return self._ask("similar", "POST", f"/v1/images/{image_id}/similar", LONGEST_SEARCH, body)

    def regions(self, image_id: str, corners: Sequence[Sequence[int]]) -> Answer:
        body = json.dumps({"regions": [list(each) for each in corners]}).encode()
        return self._ask("regions", "POST", f"/v1/images/{image_id}/regions", 0, body)

    def search(self, image_id: str) -> Answer:
        """Ask for every mask of the image, as a job."""
        body = json.dumps(EVERYTHING).encode()
        return self._ask("everything", "POST", f"/v1/images/{image_id}/everything", 0, body)

    def job(self, image_id: str, job: str, wait: float = 0) -> Answer:
        return self._ask("everything job", "GET", f"/v1/images/{image_id}/everything/{job}", wait)

    def embedding(self, image_id: str, region: Sequence[int] | None = None) -> Answer:
        query = "" if region is None else f"?region={','.join(map(str, region))}"
        return self._ask("embedding", "GET", f"/v1/images/{image_id}/embedding{query}", 0)

    def delete(self, image_id: str) -> Answer:
        return self._ask("delete", "DELETE", f"/v1/images/{image_id}", 0)

    def checked_masks(self, material: Material, scene: Scene, image_id: str, question: int, wait: float = 0) -> Answer:
        """Call `masks`, and compare an answer with the right one."""
        answer = self.masks(image_id, scene.questions[question], wait)
        if answer.status == 200:
            right = material.is_right(scene, question, answer.body)
            self._ledger.check(right, f"image {image_id[:12]}, scene {scene.number}, question {question}")
        return answer

    def checked_similar(self, material: Material, scene: Scene, image_id: str) -> Answer:
        """Call `similar`, and compare a whole answer with the right one."""
        answer = self.similar(image_id, scene.search)
        if answer.status == 200 and not answer.document["truncated"]:
            right = material.is_right_similar(scene, answer.body)
            self._ledger.check(right, f"image {image_id[:12]}, scene {scene.number}, its similar objects")
        return answer

    def checked_embedding(self, material: Material, scene: Scene, image_id: str) -> Answer:
        """Call `embedding`, and compare an answer with the right one."""
        answer = self.embedding(image_id)
        if answer.status == 200:
            right = material.is_right_embedding(scene, answer.body)
            self._ledger.check(right, f"image {image_id[:12]}, scene {scene.number}, its embedding")
        return answer

    def checked_job(self, material: Material, scene: Scene, image_id: str, job: str, wait: float = 0) -> Answer:
        """Call `job`, and compare the masks with the right ones once it is done."""
        answer = self.job(image_id, job, wait)
        if answer.status == 200 and answer.document["status"] == "done":
            right = material.is_right_search(scene, answer.body)
            self._ledger.check(right, f"image {image_id[:12]}, scene {scene.number}, every mask")
        return answer

    def _ask(self, route: str, method: str, target: str, wait: float, body: bytes | None = None) -> Answer:
        started = time.monotonic()
        answer = self._exchange(method, f"{target}?wait={wait:g}" if wait else target, body)
        self._ledger.record(Request(route, started, time.monotonic(), wait, answer.status, answer.code))
        return answer

    def _exchange(self, method: str, target: str, body: bytes | None) -> Answer:
        idle = time.monotonic() - self._used
        if idle > _IDLE:
            self.close()
        may_be_closed = self._connection is not None and idle >= UNUSED_SECONDS
        try:
            if may_be_closed:
                with suppress(OSError, http.client.HTTPException):
                    return self._exchange_once(method, target, body)
            return self._exchange_once(method, target, body)
        except (OSError, http.client.HTTPException) as error:
            return _nothing(error)

    def _exchange_once(self, method: str, target: str, body: bytes | None) -> Answer:
        """Raises OSError or HTTPException; the connection is closed then."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address, timeout=_PATIENCE)
        try:
            self._connection.request(method, target, body)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        self._used = time.monotonic()
        return _answer(response, content)


def _answer(response: http.client.HTTPResponse, content: bytes) -> Answer:
    kind = response.headers.get_content_type()
    document = json.loads(content) if kind.endswith("json") and content else {}
    code = document.get("code") if kind == "application/problem+json" else None
    return Answer(response.status, code, content, document, float(response.headers.get("Retry-After", 0)))


def _nothing(error: Exception) -> Answer:
    return Answer(None, type(error).__name__, b"", {}, 0)


def _event(stream: http.client.HTTPResponse, until: float) -> Answer:
    """Return the next event of the stream.

    Raises:
        http.client.IncompleteRead: the stream ended, or no event came before `until` (monotonic seconds).
    """
    for line in stream:
        if time.monotonic() > until:
            break
        if line.startswith(b"data: "):
            return Answer(200, None, line, json.loads(line.removeprefix(b"data: ")), 0)
    raise http.client.IncompleteRead(b"")
