"""Clients that do harm: some ask and never read, some say nothing, one asks for very much all the time."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException

from prompt_api.models.browser_runtime import RUNTIME

SMALL_WINDOW = 4096
"""Bytes that a stalled reader's kernel takes before the service can send no more."""

_PAUSE = 0.1
_CONNECT_SECONDS = 10.0


@contextmanager
def stalled_readers(address: str, path: str, count: int) -> Iterator[None]:
    """During the block, `count` connections ask for `path` and read nothing of it.

    Args:
        address: host and port, like `127.0.0.1:8000`.
    """
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with ExitStack() as held:
        for _ in range(count):
            held.enter_context(connected(address, receive_buffer=SMALL_WINDOW)).sendall(request)
        yield


@contextmanager
def silent_clients(address: str, count: int) -> Iterator[None]:
    """During the block, `count` connections are open and say nothing. The service may close them."""
    with ExitStack() as held:
        for _ in range(count):
            held.enter_context(connected(address))
        yield


@contextmanager
def heavy_client(
    address: str, image_id: str, size: tuple[int, int], *, connections: int, prompts: int = 64
) -> Iterator[Counter[str]]:
    """During the block, one client has a large request under way on each of its connections.

    Args:
        size: (width, height) of the image.
        prompts: number in each request.

    Yields:
        How often each answer came: "200", "503 overloaded", or the name of an exception.
    """
    width, height = size
    points = [{"points": [[(7 * n) % width, (5 * n) % height]], "labels": [1]} for n in range(1, prompts + 1)]
    body = json.dumps({"prompts": points}).encode()
    stop, answers = threading.Event(), Counter[str]()
    open_connections = [HTTPConnection(address, timeout=120) for _ in range(connections)]

    def ask(connection: HTTPConnection) -> None:
        while not stop.is_set():
            try:
                connection.request("POST", f"/v1/images/{image_id}/masks", body, {"Host": "localhost"})
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, HTTPException) as error:
                if not stop.is_set():
                    answers[type(error).__name__] += 1
                return
            code = "" if answer.status == 200 else json.loads(content).get("code", "no code")
            answers[f"{answer.status} {code}".strip()] += 1
            stop.wait(_PAUSE)

    threads = [threading.Thread(target=ask, args=(connection,), daemon=True) for connection in open_connections]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for connection in open_connections:
            if connection.sock is not None:
                connection.sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
        for thread in threads:
            thread.join()
        for connection in open_connections:
            connection.close()


def watch_health(address: str, until: Callable[[], bool]) -> tuple[float, Counter[str]]:
    """Ask for /healthz again and again, each time on a connection of its own, which any process may serve.

    Args:
        until: asked before each request; ends the watch when it returns True.

    Returns:
        The longest time of an answer in seconds, and how often each status or exception came.
    """
    longest, answers = 0.0, Counter[str]()
    while not until():
        began = time.monotonic()
        connection = HTTPConnection(address, timeout=10)
        try:
            connection.request("GET", "/healthz", headers={"Host": "localhost"})
            answers[str(connection.getresponse().status)] += 1
        except (OSError, HTTPException) as error:
            answers[type(error).__name__] += 1
        connection.close()
        longest = max(longest, time.monotonic() - began)
        time.sleep(_PAUSE / 2)
    return longest, answers


def large_file(address: str, image_id: str) -> str:
    """Return the path of the largest file: of the browser's runtime if it is there, else the image's embedding."""
    path = f"/static/runtime/{RUNTIME.version}/{max(RUNTIME.files, key=lambda file: file.size).name}"
    connection = HTTPConnection(address, timeout=60)
    connection.request("HEAD", path, headers={"Host": "localhost"})
    found = connection.getresponse().status == 200
    connection.close()
    return path if found else f"/v1/images/{image_id}/embedding"


def connected(address: str, *, receive_buffer: int | None = None) -> socket.socket:
    """Return a connection to `address`, which the caller closes.

    Args:
        receive_buffer: bytes that the kernel may hold for this side; the kernel's own choice if None.
    """
    host, _, port = address.rpartition(":")
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(_CONNECT_SECONDS)
    sock.connect((host, int(port)))
    return sock
