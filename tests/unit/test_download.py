"""Downloading a large file over HTTP from a server that works or fails."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from shared.contract.errors import WeightsError
from shared.weights.download import ATTEMPTS, download

CONTENT = bytes(range(256)) * 12_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content` at any path.

    Attributes:
        ranges: the Range header of each request.
        content: the file.
        cuts: bytes after which each of the next connections breaks.
        status: the error status to answer with, if not 0.
        knows_ranges: if False, Range is ignored and the answer is 200 with the whole file.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ranges: list[str | None] = []
        self.content = CONTENT
        self.cuts: list[int] = []
        self.status = 0
        self.knows_ranges = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/weights.pth"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version: ClassVar[str] = "HTTP/1.1"

    def do_GET(self) -> None:  # http.server requires this name
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.server.knows_ranges else 0
        if self.server.status or start >= len(self.server.content):
            self.send_error(self.server.status or 416)
            return
        rest = self.server.content[start:]
        self.send_response(206 if asked and self.server.knows_ranges else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: self.server.cuts.pop(0) if self.server.cuts else None])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # http.server requires this name
        return


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Callable[[], Path]:
    def run() -> Path:
        target = tmp_path / "weights.pth"
        download(server.url, target, size=len(CONTENT), sha256=SHA256, timeout=60, sleep=lambda _: None)
        return target

    return run


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_fetched_and_put_in_place(server: Server, fetch: Callable[[], Path]) -> None:
    assert fetch().read_bytes() == CONTENT
    assert server.ranges == ["bytes=0-"]
    assert left_in(fetch().parent) == ["weights.pth"]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(server: Server, fetch: Callable[[], Path]) -> None:
    server.cuts = [1_000_000, 500_000]
    assert fetch().read_bytes() == CONTENT
    assert server.ranges == ["bytes=0-", "bytes=1000000-", "bytes=1500000-"]


def test_a_process_goes_on_where_an_earlier_one_ended(
    server: Server, fetch: Callable[[], Path], tmp_path: Path
) -> None:
    (tmp_path / ".weights.pth.part").write_bytes(CONTENT[:2_000_000])
    assert fetch().read_bytes() == CONTENT
    assert server.ranges == ["bytes=2000000-"]


def test_a_server_without_ranges_starts_again_from_the_beginning(server: Server, fetch: Callable[[], Path]) -> None:
    server.knows_ranges = False
    server.cuts = [1_000_000]
    assert fetch().read_bytes() == CONTENT


@pytest.mark.parametrize("size", [1_000_000, len(CONTENT), len(CONTENT) + 5], ids=["short", "whole", "long"])
def test_a_part_that_is_of_another_file_costs_a_second_fetch_and_nothing_else(
    fetch: Callable[[], Path], tmp_path: Path, size: int
) -> None:
    (tmp_path / ".weights.pth.part").write_bytes(b"!" * size)
    assert fetch().read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (CONTENT[:-1] + b"!", "its SHA-256 is not"),
        (CONTENT[:-1], "it does not have"),
        (CONTENT + b"!", "it does not have"),
    ],
    ids=["changed", "shorter", "longer"],
)
def test_another_file_is_refused_and_leaves_nothing(
    server: Server, fetch: Callable[[], Path], tmp_path: Path, content: bytes, says: str
) -> None:
    server.content = content
    with pytest.raises(WeightsError, match=f"another file than registered.*{says}"):
        fetch()
    assert left_in(tmp_path) == []


def test_a_file_that_is_shorter_than_what_is_here_already_is_refused(
    server: Server, fetch: Callable[[], Path], tmp_path: Path
) -> None:
    (tmp_path / ".weights.pth.part").write_bytes(CONTENT[:2_000_000])
    server.content = CONTENT[:1_000_000]
    with pytest.raises(WeightsError, match="it is shorter"):
        fetch()
    assert left_in(tmp_path) == []


def test_a_server_that_does_not_have_it_is_named(server: Server, fetch: Callable[[], Path]) -> None:
    server.status = 403
    with pytest.raises(WeightsError, match="the server answered 403"):
        fetch()
    assert len(server.ranges) == 1


def test_a_server_that_stays_in_trouble_is_given_up(server: Server, fetch: Callable[[], Path]) -> None:
    server.status = 503
    with pytest.raises(WeightsError, match=r"answered 503; check the network .* or set SAM_WEIGHTS_PATH"):
        fetch()
    assert len(server.ranges) == ATTEMPTS


def test_what_has_arrived_is_kept_when_the_network_is_gone(
    server: Server, fetch: Callable[[], Path], tmp_path: Path
) -> None:
    server.cuts = [1_000_000] + [0] * ATTEMPTS
    with pytest.raises(WeightsError, match="closed early"):
        fetch()
    assert left_in(tmp_path) == [".weights.pth.part"]
    assert (tmp_path / ".weights.pth.part").read_bytes() == CONTENT[:1_000_000]


def test_a_machine_without_a_network_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="Connection refused; check the network"):
        download("http://127.0.0.1:9/w", tmp_path / "w", size=1, sha256=SHA256, timeout=60, sleep=lambda _: None)


def test_a_disk_without_room_is_named_before_a_byte_is_fetched(server: Server, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no room for the weights"):
        download(server.url, tmp_path / "w", size=1 << 60, sha256=SHA256)
    assert server.ranges == []
    assert left_in(tmp_path) == []


def test_a_disk_that_fills_up_leaves_nothing(fetch: Callable[[], Path], tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            fetch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left_in(tmp_path) == []
