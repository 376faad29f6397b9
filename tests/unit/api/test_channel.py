"""How an answer leaves: its head never without the start of its body."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from waitress.channel import HTTPChannel

from prompt_api.channel import PoliteChannel, TimedTask


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What waitress is given to send, piece by piece."""
    pieces: list[bytes] = []

    def write_soon(_: HTTPChannel, data: bytes) -> int:
        pieces.append(data)
        return len(data)

    monkeypatch.setattr(HTTPChannel, "write_soon", write_soon)
    return pieces


def task(*, command: str = "GET", length: int | None = None) -> Any:
    channel = PoliteChannel.__new__(PoliteChannel)
    channel.server = SimpleNamespace(adj=SimpleNamespace(ident=None))
    begun = TimedTask(channel, SimpleNamespace(version="1.1", headers={}, command=command))
    begun.complete, begun.content_length = True, length
    return begun


def test_a_whole_answer_is_one_piece(sent: list[bytes]) -> None:
    task(length=4).write(b"mask")
    (piece,) = sent
    head, _, body = piece.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 4")
    assert body == b"mask"


def test_of_a_stream_each_part_is_sent_at_once(sent: list[bytes]) -> None:
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
