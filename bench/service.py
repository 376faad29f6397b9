"""Runs the real service for a bench: one Valkey, any number of APIs on it, and connections to them."""

from __future__ import annotations

import http.client
import io
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from bench import cores
from bench.clicks import request_prompt
from deploy.local.embedded_valkey import start_valkey
from deploy.local.process import ProcessGroup
from shared.contract.models import MOBILE_SAM
from tests.support.reference import Click
from tests.support.stack import ObservedStack

_START_SECONDS = 60.0
_TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer to prompts.

    Attributes:
        milliseconds: from the first byte sent to the last byte read.
        stages: milliseconds of each stage inside the API, from `Server-Timing`.
        body: the JSON as it came.
    """

    milliseconds: float
    stages: Mapping[str, float]
    body: bytes


class Connection:
    """A client with one connection, which stays open."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT)

    def upload(self, jpeg: bytes) -> str:
        """Upload a photo, and return its image id."""
        return str(json.loads(self._send("POST", "/v1/images", jpeg)[1])["image_id"])

    def wait_until_ready(self, image_id: str) -> None:
        """Wait until the image is encoded.

        Raises:
            RuntimeError: the encoding failed.
        """
        status = ""
        while status != "ready":
            resource = json.loads(self._send("GET", f"/v1/images/{image_id}?wait=30")[1])
            status = resource["status"]
            if status == "failed":
                raise RuntimeError(f"the photo could not be encoded: {resource['error']}")

    def embedding(self, image_id: str) -> NDArray[np.float32]:
        """The embedding that the service has stored: (1, 256, 64, 64) float32."""
        return np.asarray(np.load(io.BytesIO(self._send("GET", f"/v1/images/{image_id}/embedding")[1])), np.float32)

    def prompt(self, image_id: str, clicks: Sequence[Click], form: str = "rle") -> Answer:
        """Ask for three masks for each click."""
        body = request_body(clicks, form)
        started = time.perf_counter()
        timing, answer = self._send("POST", masks_path(image_id), body)
        taken = (time.perf_counter() - started) * 1000
        stages = (part.split(";dur=") for part in timing.split(", "))
        return Answer(taken, {name: float(text) for name, text in stages}, answer)

    def similar(self, image_id: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Search for similar objects, and return the answer."""
        body = json.dumps(request).encode()
        return dict(json.loads(self._send("POST", f"/v1/images/{image_id}/similar", body)[1]))

    def ask_everything(self, image_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Ask for every mask of an image, and return the job."""
        answer = self._send("POST", f"/v1/images/{image_id}/everything", json.dumps(options).encode())[1]
        return dict(json.loads(answer))

    def job(self, path: str) -> dict[str, Any]:
        """Return the everything job under the path of its `links.self`."""
        return dict(json.loads(self._send("GET", path)[1]))

    def delete(self, path: str) -> None:
        self._send("DELETE", path)

    def _send(self, method: str, target: str, body: bytes | None = None) -> tuple[str, bytes]:
        """The answer's `Server-Timing` header (empty if there is none) and its body.

        Raises:
            RuntimeError: the API refused the request.
        """
        self._connection.request(method, target, body)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise RuntimeError(f"the API answered {response.status}: {answer[:500]!r}")
        return response.headers.get("Server-Timing", ""), answer


@dataclass(frozen=True, slots=True)
class Api:
    """A running API.

    Attributes:
        pids: its processes that serve requests.
    """

    url: str
    pids: Sequence[int]

    def connect(self) -> Connection:
        return Connection(self.url)


class Service:
    """One Valkey that holds the encoded photos, and APIs on it. Leaving the context ends them all."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._environ = {"SAM_MODEL": MOBILE_SAM.name, "SAM_MODELS": "", "SAM_EMBEDDING_DTYPE": "float16"}
        self.valkey_url = ""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            group = ProcessGroup()
            stack.callback(group.close)
            _, url = start_valkey(group, lambda _line: None, time.monotonic() + _START_SECONDS)
            self._stack = stack.pop_all()
        self._environ |= {"SAM_CACHE_URL": url, "SAM_QUEUE_URL": url}
        self.valkey_url = url
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def encode(self, jpegs: Iterable[bytes]) -> list[tuple[str, NDArray[np.float32]]]:
        """Upload photos and have a worker encode them. Returns each one's id and embedding (1, 256, 64, 64)."""
        with ObservedStack(self._environ) as stack:
            connection = Connection(stack.url)
            ids = [connection.upload(jpeg) for jpeg in jpegs]
            for image_id in ids:
                connection.wait_until_ready(image_id)
            return [(image_id, connection.embedding(image_id)) for image_id in ids]

    @contextmanager
    def api(
        self,
        settings: Mapping[str, object] | None = None,
        *,
        on: Iterable[int],
        processes: int = 1,
        one_core_each: bool = False,
    ) -> Iterator[Api]:
        """Run an API on the Valkey.

        Args:
            settings: values by the name of the setting's field, without `SAM_`.
            on: the cores it runs on.
            processes: number of its processes.
            one_core_each: bind each process to one of the cores, in turn.
        """
        on = list(on)
        environ = {**self._environ, "SAM_API_PROCESSES": str(processes)}
        environ |= {f"SAM_{name.upper()}": str(value) for name, value in (settings or {}).items()}
        stack = ObservedStack(environ, workers=0)
        with cores.running_on(on):
            stack.__enter__()
        try:
            (parent,) = stack.pids("api")
            pids = [parent] if processes == 1 else cores.children(parent)
            if one_core_each:
                for number, pid in enumerate(pids):
                    cores.pin(pid, {on[number % len(on)]})
            yield Api(stack.url, pids)
        finally:
            stack.stop()


def masks_path(image_id: str) -> str:
    return f"/v1/images/{image_id}/masks"


def request_body(clicks: Sequence[Click], form: str = "rle") -> bytes:
    document: dict[str, Any] = {"prompts": [request_prompt(click) for click in clicks], "format": form}
    return json.dumps(document).encode()
