"""How answers are sent: the head together with the start of the body, and refusals with the usual headers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from waitress.buffers import OverflowableBuffer
from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.utilities import BadRequest, Error, RequestEntityTooLarge

from prompt_api.access.headers import EVERYWHERE
from prompt_api.serving.channel import PIECE, TURN, PoliteChannel, ProblemTask, TimedTask
from prompt_api.serving.request_parser import Refusal
from shared.contract.errors import Overloaded, SamCacheError, Unauthorized


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The pieces that waitress is given to send."""
    pieces: list[bytes] = []

    def write_soon(_: HTTPChannel, data: bytes) -> int:
        pieces.append(data)
        return len(data)

    monkeypatch.setattr(HTTPChannel, "write_soon", write_soon)
    return pieces


def task(*, command: str = "GET", length: int | None = None) -> Any:
    channel = PoliteChannel.__new__(PoliteChannel)
    channel.server = SimpleNamespace(adj=SimpleNamespace(ident=None))
    channel.outbuf_lock = threading.Condition()
    begun = TimedTask(channel, SimpleNamespace(version="1.1", headers={}, command=command))
    begun.complete, begun.content_length = True, length
    return begun


def test_a_whole_answer_is_one_piece(sent: list[bytes]) -> None:
    task(length=4).write(b"mask")
    (piece,) = sent
    head, _, body = piece.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 4")
    assert body == b"mask"


def test_each_part_of_a_stream_is_sent_at_once(sent: list[bytes]) -> None:
    stream = task()
    stream.write(b"one")
    stream.write(b"two")
    assert [piece.rpartition(b"\r\n\r\n")[2] for piece in sent] == [b"3\r\none\r\n", b"3\r\ntwo\r\n"]


def test_a_head_whose_body_is_not_there_yet_does_not_wait_for_it(sent: list[bytes]) -> None:
    stream = task()
    stream.write(b"")
    assert len(sent) == 1
    stream.write(b"one")
    assert sent[1:] == [b"3\r\none\r\n"]


TOOL = "https://tool.example"


def refuse(error: Error, count: Callable[..., None] = lambda *_: None, **headers: str) -> None:
    channel: Any = PoliteChannel.__new__(PoliteChannel)
    channel.server = SimpleNamespace(adj=SimpleNamespace(ident=None))
    channel.outbuf_lock = threading.Condition()
    channel.origins, channel.count_refusal = frozenset({TOOL}), count
    ProblemTask(channel, SimpleNamespace(version="1.1", headers=headers, command="POST", error=error)).service()


def refusal(error: Error, sent: list[bytes], **headers: str) -> dict[str, str]:
    """Refuse with `error` and return the answer's headers, their names in lower case."""
    refuse(error, **headers)
    head = b"".join(sent).partition(b"\r\n\r\n")[0].decode()
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in head.splitlines()[1:])}


@pytest.mark.parametrize(
    "error",
    [RequestEntityTooLarge("too much"), BadRequest("what?"), Refusal(Overloaded("full")), Refusal(Unauthorized("no"))],
    ids=lambda error: str(error.code),
)
def test_what_is_refused_unread_has_the_headers_of_every_answer(sent: list[bytes], error: Error) -> None:
    found = refusal(error, sent, ORIGIN=TOOL)
    assert {name: found.get(name.lower()) for name in EVERYWHERE} == dict(EVERYWHERE)
    assert found["access-control-allow-origin"] == TOOL
    assert "Retry-After" in found["access-control-expose-headers"]
    assert found["cache-control"] == "no-store"


def test_a_page_of_another_origin_may_not_read_why_it_was_refused(sent: list[bytes]) -> None:
    found = refusal(RequestEntityTooLarge("too much"), sent, ORIGIN="https://evil.example")
    assert found["vary"] == "Origin"
    assert not [name for name in found if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("problem", "name", "value"),
    [(Overloaded("full", retry_after=1.2), "retry-after", "2"), (Unauthorized("no"), "www-authenticate", "Bearer")],
)
def test_what_is_refused_unread_says_how_to_go_on(
    sent: list[bytes], problem: SamCacheError, name: str, value: str
) -> None:
    assert refusal(Refusal(problem), sent)[name] == value


def test_a_refusal_is_one_piece(sent: list[bytes]) -> None:
    refuse(BadRequest("what?"))
    assert len(sent) == 1


def test_a_refusal_is_counted_though_its_client_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> int:
        raise ClientDisconnected

    monkeypatch.setattr(HTTPChannel, "write_soon", gone)
    counted: list[tuple[str, str, int, str]] = []
    with pytest.raises(ClientDisconnected):
        refuse(BadRequest("what?"), lambda *told: counted.append(told))
    assert [told[2:] for told in counted] == [(400, "bad-request")]


def test_the_loop_sends_a_large_answer_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel: list[int] = []

    def send(_channel: HTTPChannel, data: bytes, _do_close: bool = True) -> int:
        kernel.append(len(data))
        return len(data)

    monkeypatch.setattr(HTTPChannel, "send", send)
    answer = OverflowableBuffer(8 * TURN)
    answer.append(bytes(3 * TURN + 5))
    channel: Any = PoliteChannel.__new__(PoliteChannel)
    channel.requests, channel.outbufs, channel.total_outbufs_len = [], [answer], len(answer)
    channel.sendbuf_len, channel.logger = PIECE, logging.getLogger("test")
    turns = []
    while channel.total_outbufs_len:
        channel.handle_write()
        turns.append(sum(kernel))
        kernel.clear()
    assert turns == [TURN, TURN, TURN, 5]
