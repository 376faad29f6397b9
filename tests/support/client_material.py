"""Transports that connect a client to the API without a socket. Each upload is encoded at once."""

from __future__ import annotations

import io

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.world import World

URL = "http://localhost"


class InProcess(httpx.BaseTransport):
    """Sends requests to the Flask application of a `World` and records them in `asked`."""

    def __init__(self, world: World) -> None:
        self.asked: list[str] = []
        self._world = world
        self._wsgi = httpx.WSGITransport(app=world.client.application)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path.rpartition('/')[2][:8]}")
        # No other thread encodes, so waiting would never succeed.
        request.url = request.url.copy_remove_param("wait")
        answer = self._wsgi.handle_request(request)
        answer.read()
        if request.method == "POST" and answer.status_code == 202 and "Location" in answer.headers:
            self._world.encode_next()
            return self._wsgi.handle_request(httpx.Request("GET", URL + answer.headers["Location"]))
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


class AsyncInProcess(httpx.AsyncBaseTransport):
    """`InProcess` for asyncio."""

    def __init__(self, transport: InProcess) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._transport.handle_request(
            httpx.Request(request.method, request.url, headers=request.headers, content=await request.aread())
        )
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.read())


def picture(width: int = 120, height: int = 80) -> NDArray[np.uint8]:
    """Return pixels (H, W, 3): a red square on blue."""
    image = np.full((height, width, 3), (20, 90, 160), np.uint8)
    image[height // 4 : height // 2, width // 4 : width // 2] = (200, 30, 30)
    return image


def jpeg(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()
