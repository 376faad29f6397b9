"""The HTTP API as this bench uses it, on one kept connection."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

WAIT = 30
_TIMEOUT = 180.0

Click = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """The masks of one prompt.

    Attributes:
        region: [x0, y0, x1, y1] of the region they come from; None for the whole image.
        finer: the region that is not encoded yet, as the answer has it.
        masks: the masks as the answer has them.
        milliseconds: from the first byte sent to the last byte read.
    """

    region: Sequence[int] | None
    finer: Mapping[str, Any] | None
    masks: Sequence[Mapping[str, Any]]
    milliseconds: float

    @property
    def best(self) -> Mapping[str, Any]:
        """The mask of the best score."""
        return max(self.masks, key=lambda mask: float(mask["score"]))


class Asking:
    """A client of the service."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT)

    def upload(self, data: bytes) -> str:
        """Upload an image, wait until it is encoded, and return its id."""
        status, body = self._send("POST", f"/v1/images?wait={WAIT}", data)
        while body["status"] != "ready":
            if status >= 300 or body["status"] == "failed":
                raise RuntimeError(f"the image could not be encoded: {body}")
            status, body = self._send("GET", f"/v1/images/{body['image_id']}?wait={WAIT}")
        return str(body["image_id"])

    def ask(
        self, image_id: str, prompt: Mapping[str, Any], region: object = None, *, wait: int = 0, multimask: bool = True
    ) -> Answered:
        """Ask one prompt. With `wait`, ask until the region has answered or failed."""
        body = {"prompts": [prompt], "region": region, "multimask": multimask}
        while True:
            started = time.perf_counter()
            status, answer = self._send("POST", f"/v1/images/{image_id}/masks?wait={wait}", json.dumps(body).encode())
            taken = (time.perf_counter() - started) * 1000
            if status == 409:
                continue
            if status != 200:
                raise RuntimeError(f"the API answered {status}: {answer}")
            finer = answer.get("finer")
            if wait and finer is not None and finer["status"] != "failed":
                continue
            return Answered(answer["region"], finer, answer["results"][0]["masks"], taken)

    def _send(self, method: str, target: str, body: bytes | None = None) -> tuple[int, Any]:
        self._connection.request(method, target, body)
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())


def click(point: Click) -> dict[str, Any]:
    """One point on the foreground."""
    return {"points": [list(point)], "labels": [1]}


def pixels(mask: Mapping[str, Any]) -> NDArray[np.bool_]:
    """A mask of an answer, (H, W)."""
    return np.asarray(coco.decode(mask["rle"]), dtype=bool)
