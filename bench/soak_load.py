"""The clients of a soak. They upload photos, some broken or abandoned, prompt in every format, refine and delete."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

_TIMEOUT = 120.0
_TRIES = 10
_BATCH = 16
_MULTIMASK = 0.25  # of the requests; three masks take three times as long, and the same code
_FORMS = ("rle", "rle", "rle", "rle", "png", "polygons", "logits")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much the clients ask for.

    Attributes:
        prompts, uploads: of all clients together.
        clients: that run at once, each on its own connection.
        recent: number of its last images that a client prompts, in turns.
        size: (width, height) of the photos.
    """

    prompts: int
    uploads: int
    clients: int
    recent: int
    size: tuple[int, int]


@dataclass(slots=True)
class Tally:
    """Counts of what was answered. Several threads add to it.

    Attributes:
        prompts: number answered with masks.
        milliseconds: how long each request of a single prompt took, in the order of the answers.
        uploads: number of images that were encoded.
        answers: number of answers, by request and status.
        left: images that the clients did not delete.
    """

    prompts: int = 0
    milliseconds: list[float] = field(default_factory=list)
    uploads: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    left: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, asked: str, status: int) -> None:
        with self.lock:
            self.answers[f"{asked}: {status}"] += 1


class Client(threading.Thread):
    """One of the clients.

    Attributes:
        failure: the error that ended it early, or None.
    """

    def __init__(self, number: int, url: str, plan: Plan, tally: Tally) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self._address = urlsplit(url).netloc
        self._connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT)
        self._plan, self._tally = plan, tally
        self._random = np.random.default_rng(number)
        self._images: deque[str] = deque()
        self._photos: dict[str, bytes] = {}
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            self._work(self._plan.uploads // self._plan.clients, self._plan.prompts // self._plan.clients)
        except Exception as error:
            self.failure = error
        finally:
            self._connection.close()

    def _work(self, uploads: int, prompts: int) -> None:
        asked = 0
        for number in range(uploads):
            if number % 50 == 49:
                self._abandon()
            if number % 25 == 24:
                self._upload_broken()
            self._images.append(self._upload())
            while asked < prompts * (number + 1) // uploads:
                asked += self._prompt(self._images[asked % len(self._images)])
            if len(self._images) >= self._plan.recent:
                self._dismiss(self._images.popleft())
        for image_id in self._images:
            self._dismiss(image_id)

    def _upload(self) -> str:
        photo = self._photo()
        image_id = hashlib.sha256(photo).hexdigest()
        self._photos[image_id] = photo
        self._make_ready(image_id, "upload")
        with self._tally.lock:
            self._tally.uploads += 1
        return image_id

    def _make_ready(self, image_id: str, why: str) -> None:
        """Upload the image until it is encoded. On a busy machine it may expire first, and is uploaded again."""
        status = 410
        while status in (202, 410):
            status, answer = self._send("POST", "/v1/images?wait=30", self._photos[image_id])
            self._tally.add(why, status)
            while status == 202:
                status, answer = self._send("GET", f"/v1/images/{image_id}?wait=30")
                status = {"queued": 202, "encoding": 202}.get(answer.get("status", ""), status)
        if status != 200 or answer["status"] != "ready":
            raise RuntimeError(f"an upload ended in {status} {answer}")

    def _upload_broken(self) -> None:
        """Upload a PNG whose damage shows only when it is decoded, so that its encoding fails."""
        whole = self._photo("PNG")
        at = whole.index(b"IDAT") + 40
        broken = whole[:at] + bytes(64) + whole[at + 64 :]
        status, answer = self._send("POST", "/v1/images?wait=30", broken)
        self._tally.add("broken upload", status)
        if status != 422:
            raise RuntimeError(f"a broken upload ended in {status} {answer}")
        with self._tally.lock:
            self._tally.left.append(hashlib.sha256(broken).hexdigest())

    def _abandon(self) -> None:
        """Begin an upload, and close the connection in the middle of it."""
        host, _, port = self._address.partition(":")
        with socket.create_connection((host, int(port)), timeout=_TIMEOUT) as sock:
            head = b"POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
            sock.sendall(head + bytes(50_000))

    def _prompt(self, image_id: str) -> int:
        """Prompt the image in one of the ways that clients do. Returns the number of prompts answered."""
        form = _FORMS[self._random.integers(len(_FORMS))]
        click = {"points": [self._point()], "labels": [1]}
        kind = self._random.random()
        if kind < 0.1:
            self._masks(image_id, [{"points": [self._point()], "labels": [1]} for _ in range(_BATCH)], form)
            return _BATCH
        if kind < 0.12:
            status, _ = self._send("POST", f"/v1/images/{image_id}/masks", b'{"prompts": [{}]}')
            self._tally.add("bad prompt", status)
            return 0
        if kind < 0.14:  # the service keeps the logits of its answer in Redis
            click["mask_logits"] = base64.b64encode(bytes(256 * 256 * 2)).decode()
        token = self._masks(image_id, [click], form)[0]["mask_token"]
        if kind > 0.3:
            return 1
        self._masks(image_id, [{"points": [self._point()], "labels": [0], "mask_token": token}], form)
        return 2

    def _masks(self, image_id: str, prompts: list[dict[str, Any]], form: str) -> list[dict[str, Any]]:
        """Send the prompts, and return the masks of the first one.

        Raises:
            RuntimeError: the API refused them.
        """
        multimask = bool(self._random.random() < _MULTIMASK)
        body = json.dumps({"prompts": prompts, "multimask": multimask, "format": form}).encode()
        started = time.perf_counter()
        status, answer = self._send("POST", f"/v1/images/{image_id}/masks?wait=30", body)
        taken = 1000 * (time.perf_counter() - started)
        self._tally.add("prompt" if len(prompts) == 1 else "batch", status)
        if status in (404, 409, 410):
            self._make_ready(image_id, "upload again")
            return self._masks(image_id, prompts, form)
        if status != 200:
            raise RuntimeError(f"a prompt ended in {status} {answer}")
        with self._tally.lock:
            self._tally.prompts += len(prompts)
            if len(prompts) == 1:
                self._tally.milliseconds.append(taken)
        masks: list[dict[str, Any]] = answer["results"][0]["masks"]
        return masks

    def _dismiss(self, image_id: str) -> None:
        """Delete half of the images, chosen at random. The others are left to expire."""
        del self._photos[image_id]
        if self._random.random() < 0.5:
            self._tally.add("delete", self._send("DELETE", f"/v1/images/{image_id}")[0])
        else:
            with self._tally.lock:
                self._tally.left.append(image_id)

    def _point(self) -> list[float]:
        width, height = self._plan.size
        return [float(self._random.uniform(0, width)), float(self._random.uniform(0, height))]

    def _photo(self, file_format: str = "JPEG") -> bytes:
        """A random photo, never the same twice."""
        width, height = self._plan.size
        coarse = self._random.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        stream = io.BytesIO()
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(stream, file_format)
        return stream.getvalue()

    def _send(self, method: str, target: str, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
        """Status and body of the answer. A 503 is tried again after its `Retry-After`, as clients should."""
        for _ in range(_TRIES):
            self._connection.request(method, target, body)
            response = self._connection.getresponse()
            content = response.read()
            if response.status != 503:
                break
            self._tally.add("any", 503)
            time.sleep(float(response.headers["Retry-After"]))
        return response.status, json.loads(content) if content else {}


def delete_all(url: str, image_ids: Sequence[str]) -> None:
    """Delete the images. Those that are already gone are no error."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT)
    for image_id in image_ids:
        connection.request("DELETE", f"/v1/images/{image_id}")
        connection.getresponse().read()
    connection.close()
