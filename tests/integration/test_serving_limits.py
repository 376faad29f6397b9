"""The API's own server on real sockets: clients that do not read, too many of them, and no room for files."""

from __future__ import annotations

import errno
import io
import logging
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from prompt_api.http.app import create_app
from prompt_api.serving import readers
from prompt_api.serving.api_server import ApiServer
from prompt_api.serving.channel import PIECE
from prompt_api.serving.descriptors import CONNECTIONS, FEWEST, OTHERS, PER_CONNECTION, connections_for
from prompt_api.serving.readers import LEAST_BYTES, SECONDS, Mark
from tests.support.served import Served, served
from tests.support.world import new_world, png

LARGE = 40_000_000
"""Bytes of an answer that no kernel buffers whole, and for which waitress would let a thread wait."""


class Application:
    """Answers `/piece` with one large piece, `/stream` with many, `/wait` when told, everything else at once."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.streaming = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        if path == "/wait":
            self.waiting.release()
            self.go_on.wait(60)
        if path == "/stream":
            return self._stream()
        return [bytes(LARGE) if path == "/piece" else b"light"]

    def _stream(self) -> Iterator[bytes]:
        self.streaming.release()
        try:
            for _ in range(LARGE // 1_000_000):
                yield bytes(1_000_000)
        finally:
            self.ended.release()


def ask(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def answered(server: Served, path: str) -> None:
    assert httpx.get(server.url + path, timeout=30).status_code == 200


def test_clients_that_do_not_read_hold_no_thread_between_two_requests() -> None:
    with served(Application()) as server, ExitStack() as stalled:
        for _ in range(6):
            sock = stalled.enter_context(server.connection(receive_buffer=4096))
            sock.sendall(ask("/piece") + ask("/light"))
        answered(server, "/light")


def test_half_of_the_threads_never_wait_for_clients_that_do_not_read() -> None:
    app = Application()
    with served(app) as server, ExitStack() as stalled:
        for _ in range(6):
            stalled.enter_context(server.connection(receive_buffer=4096)).sendall(ask("/stream"))
            assert app.streaming.acquire(timeout=30)
        answered(server, "/light")


def test_a_request_behind_a_large_answer_is_answered_once_that_is_read() -> None:
    with served(Application()) as server, server.connection(receive_buffer=4096) as sock:
        sock.sendall(ask("/piece") + ask("/light") + ask("/healthz"))
        with sock.makefile("rb") as file:
            for size in (LARGE, 5, 16):
                head = b"".join(iter(file.readline, b"\r\n"))
                assert f"content-length: {size}\r\n".encode() in head.lower()
                assert len(file.read(size)) == size


def test_a_client_that_stops_reading_is_cut_and_its_thread_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "SECONDS", 0.0)
    app = Application()
    with served(app) as server, server.connection(receive_buffer=4096) as sock:
        sock.sendall(ask("/stream"))
        assert app.ended.acquire(timeout=30)
        server.wait_for(connections=0)
        with pytest.raises(ConnectionResetError), sock.makefile("rb") as file:
            file.read()


def test_little_of_an_answer_is_copied_for_each_call_of_the_kernel() -> None:
    with served(Application()) as server, server.connection():
        server.wait_for(connections=1)
        (channel,) = server.server.active_channels.values()
        assert channel.sendbuf_len <= PIECE  # else clients that read nothing cost megabytes of copies for each byte


def test_a_client_must_take_some_of_its_answer_in_every_span_of_time() -> None:
    mark = Mark(at=100.0, taken=5_000, waiting=10**9)
    assert not mark.passed(5_000 + LEAST_BYTES - 1)
    assert mark.passed(5_000 + LEAST_BYTES)
    assert not mark.overdue(100.0 + SECONDS)
    assert mark.overdue(100.1 + SECONDS)


def test_a_client_that_took_all_there_was_need_not_take_more() -> None:
    assert Mark(at=0.0, taken=7, waiting=10).passed(17)


def test_health_is_answered_while_every_thread_is_busy() -> None:
    app = Application()
    with served(app) as server, ExitStack() as busy:
        for _ in range(4):
            busy.enter_context(server.connection()).sendall(ask("/wait"))
        for _ in range(2):
            assert app.waiting.acquire(timeout=30)
        answered(server, "/healthz")
        head = httpx.head(f"{server.url}/healthz", timeout=30, headers={"X-Request-ID": "mine"})
        assert (head.status_code, head.content, head.headers["X-Request-ID"]) == (200, b"", "mine")
        answered(server, "/readyz")  # by the thread that is reserved for it
        app.go_on.set()


def test_the_server_and_the_application_say_alike_that_they_live() -> None:
    world = new_world()
    application = world.client.get("/healthz")
    with served(create_app(world.services)) as server:
        answer = httpx.get(f"{server.url}/healthz", timeout=30)
    assert answer.content == application.data
    changing = {"x-request-id", "date", "content-length"}
    assert {name: value for name, value in answer.headers.items() if name not in changing} == {
        name.lower(): value for name, value in application.headers.items() if name.lower() not in changing
    }


def test_many_pipelined_health_checks_are_all_answered() -> None:
    with served(Application()) as server, server.connection() as sock:
        sock.sendall(ask("/healthz") * 500 + b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        with sock.makefile("rb") as file:
            assert file.read().count(b"HTTP/1.1 200 OK") == 501


def test_silent_connections_beyond_the_limit_make_way_for_a_client() -> None:
    with served(Application(), connections=4) as server, ExitStack() as silent:
        for number in range(8):
            silent.enter_context(server.connection()).sendall(b"GET / HT" if number % 2 else b"")
        answered(server, "/light")


def test_a_connection_whose_request_is_answered_never_makes_way() -> None:
    app = Application()
    with served(app, connections=2) as server, ExitStack() as others:
        sock = others.enter_context(server.connection())
        sock.sendall(ask("/wait"))
        assert app.waiting.acquire(timeout=30)
        for _ in range(6):
            others.enter_context(server.connection())
        answered(server, "/light")
        app.go_on.set()
        assert sock.recv(100).startswith(b"HTTP/1.1 200")


def test_without_descriptors_the_loop_pauses_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[None] = []
    real = ApiServer.accept

    def accept(server: ApiServer) -> Any:
        tries.append(None)
        if len(tries) <= 2:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(server)

    monkeypatch.setattr(ApiServer, "accept", accept)
    with caplog.at_level(logging.WARNING), served(Application()) as server:
        answered(server, "/light")
    assert len(tries) < 10
    said = [record.message for record in caplog.records if record.name.startswith("prompt_api.serving")]
    assert said == ["cannot accept connections for now: Too many open files"]


@pytest.mark.parametrize(
    ("descriptors", "connections"), [(None, CONNECTIONS), (10**6, CONNECTIONS), (1024, 256), (64, FEWEST)]
)
def test_the_connections_follow_from_the_descriptors(descriptors: int | None, connections: int) -> None:
    assert connections_for(descriptors) == connections


def test_a_process_raises_its_limit_of_descriptors_as_far_as_it_may() -> None:
    script = (
        "import resource\n"
        "from prompt_api.serving.descriptors import connections_allowed\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (300, 4096))\n"
        "print(connections_allowed(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str((4096 - OTHERS) // PER_CONNECTION), "4096"]


class Full(io.BytesIO):
    """A temporary file on a full disk, which takes little."""

    def write(self, data: Any) -> int:
        if len(data) > 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)

    def close(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *_: Full())


@pytest.mark.usefixtures("no_room")
def test_a_body_for_which_there_is_no_room_is_overloaded() -> None:
    with served(Application()) as server:
        answer = httpx.post(f"{server.url}/any", content=bytes(2_000_000), timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert answer.headers["Retry-After"] == "2"
        answered(server, "/light")


@pytest.mark.usefixtures("no_room")
def test_an_answer_for_which_there_is_no_room_is_overloaded_instead() -> None:
    with served(Application()) as server, server.connection() as sock:
        sock.sendall(ask("/light") + ask("/piece"))
        with sock.makefile("rb") as file:
            first, second = file.read().split(b"HTTP/1.1 ")[1:]
        assert first.startswith(b"200")
        assert second.startswith(b"503")
        assert b'"overloaded"' in second
        answered(server, "/light")


@pytest.mark.usefixtures("no_room")
def test_a_stream_for_which_there_is_no_more_room_ends_without_its_end() -> None:
    app = Application()
    with served(app) as server, server.connection(receive_buffer=4096) as sock:
        sock.sendall(ask("/stream"))
        assert app.ended.acquire(timeout=30)
        with sock.makefile("rb") as file:
            got = file.read()
        assert not got.endswith(b"0\r\n\r\n")
        answered(server, "/light")


def test_a_form_for_which_there_is_no_room_is_overloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    world = new_world()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("werkzeug.formparser.SpooledTemporaryFile", full)
    with served(create_app(world.services)) as server:
        answer = httpx.post(f"{server.url}/v1/images", files={"image": ("small.png", png())}, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")


def test_readiness_names_a_full_folder_of_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    world = new_world()
    assert world.client.get("/readyz").status_code == 200
    monkeypatch.setattr("os.statvfs", lambda _: type("Found", (), {"f_bavail": 3, "f_frsize": 4096}))
    answer = world.client.get("/readyz")
    assert (answer.status_code, answer.json["failing"]) == (503, ["temporary files"])
    assert "12,288 bytes free" in answer.json["checks"]["temporary files"]
