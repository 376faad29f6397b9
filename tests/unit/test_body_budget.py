"""Bodies in transfer: their total size is bounded, however requests end, and small bodies always find room."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from waitress.adjustments import Adjustments

from prompt_api.serving import body_budget
from prompt_api.serving.body_budget import SMALL, BodyBudget
from prompt_api.serving.channel import PoliteChannel
from prompt_api.serving.request_parser import BoundedParser, Refusal
from shared.contract.errors import Overloaded, Unauthorized

LARGEST = 1024 * 1024
MOST, RESERVED = 8 * LARGEST + 1000, LARGEST
ROOM = (MOST - RESERVED) // LARGEST
"""The number of largest bodies that are accepted at once."""


def anybody(_path: str, _headers: Mapping[str, str]) -> None:
    return


@pytest.fixture
def budget(monkeypatch: pytest.MonkeyPatch) -> BodyBudget:
    monkeypatch.setattr(body_budget, "MOST", MOST)
    monkeypatch.setattr(body_budget, "RESERVED", RESERVED)
    return BodyBudget(LARGEST)


@pytest.fixture
def begin(budget: BodyBudget) -> Iterator[Callable[..., BoundedParser]]:
    """A function that returns a parser which has received the head of an upload."""
    adjustments = Adjustments(max_request_body_size=LARGEST + 1)
    begun: list[BoundedParser] = []

    def head(*headers: str, admit: Callable[[str, Mapping[str, str]], None] = anybody) -> BoundedParser:
        parser = BoundedParser(adjustments, budget, admit)
        parser.received("\r\n".join(["POST /v1/images HTTP/1.1", "Host: x", *headers, "", ""]).encode())
        begun.append(parser)
        return parser

    yield head
    for parser in begun:
        parser.close()


def assert_no_room(parser: BoundedParser) -> None:
    assert parser.completed
    assert not parser.expect_continue
    assert isinstance(parser.error, Refusal)
    assert isinstance(parser.error.problem, Overloaded)
    assert parser.error.problem.retry_after


def upload(begin: Callable[..., BoundedParser], size: int, arrived: int) -> BoundedParser:
    """Return the parser of a body of `size` bytes of which `arrived` bytes have arrived."""
    parser = begin(f"Content-Length: {size}")
    if not parser.completed:
        parser.received(bytes(arrived))
    return parser


def test_a_body_for_which_there_is_no_room_is_refused_before_it_is_sent(
    budget: BodyBudget, begin: Callable[..., BoundedParser]
) -> None:
    taken = [upload(begin, LARGEST, LARGEST - 1) for _ in range(ROOM)]
    assert [parser.completed for parser in taken] == [False] * ROOM
    assert_no_room(begin(f"Content-Length: {LARGEST}", "Expect: 100-continue"))
    assert budget.taken == ROOM * (LARGEST - 1)
    taken[0].close()
    assert not begin(f"Content-Length: {LARGEST}").completed


def test_what_is_only_announced_takes_no_room(budget: BodyBudget, begin: Callable[..., BoundedParser]) -> None:
    silent = [upload(begin, LARGEST, 1) for _ in range(10 * ROOM)]
    assert budget.taken == len(silent)
    assert not upload(begin, LARGEST, LARGEST - 1).completed


def test_bodies_that_grow_together_share_the_room(budget: BodyBudget, begin: Callable[..., BoundedParser]) -> None:
    growing = [begin(f"Content-Length: {LARGEST}") for _ in range(2 * ROOM)]
    for _ in range(15):
        for parser in growing:
            if not parser.completed:
                parser.received(bytes(LARGEST // 16))
        assert budget.taken <= MOST
    refused = [parser for parser in growing if parser.completed]
    assert 0 < len(refused) <= len(growing) - ROOM  # the others use the room that a refused one frees
    for parser in refused:
        assert_no_room(parser)


def test_a_body_of_unknown_length_takes_what_came_of_it(
    budget: BodyBudget, begin: Callable[..., BoundedParser]
) -> None:
    others = [upload(begin, LARGEST, LARGEST - 1) for _ in range(ROOM)]
    chunked = begin("Transfer-Encoding: chunked")
    assert not chunked.completed
    piece = b"%x\r\n" % SMALL + bytes(SMALL) + b"\r\n"
    for _ in range(3):
        chunked.received(piece)
    assert_no_room(chunked)
    for parser in (*others, chunked):
        parser.close()
    assert budget.taken == 0


def test_prompts_find_room_while_uploads_find_none(begin: Callable[..., BoundedParser]) -> None:
    while not upload(begin, LARGEST, LARGEST - 1).completed:
        pass
    while not upload(begin, SMALL + 1, SMALL).completed:  # few bytes so far do not make it a prompt
        pass
    assert not upload(begin, SMALL, SMALL - 1).completed
    while not upload(begin, SMALL, SMALL - 1).completed:  # the room for prompts is bounded too
        pass


@pytest.mark.parametrize("largest", [1, 33_000_000, 10**9])
def test_the_largest_body_always_finds_room_in_an_idle_process(largest: int) -> None:
    share = BodyBudget(largest).share()
    share.announce(largest)
    share.hold(largest)


def test_room_is_given_back_once(budget: BodyBudget, begin: Callable[..., BoundedParser]) -> None:
    upload(begin, LARGEST, 700)
    gone = upload(begin, 1000, 500)
    gone.close()
    gone.close()
    assert gone.received(b"x" * 10) == 10
    assert budget.taken == 700


def test_a_stranger_takes_no_room(budget: BodyBudget, begin: Callable[..., BoundedParser]) -> None:
    def nobody(_path: str, _headers: Mapping[str, str]) -> None:
        raise Unauthorized("who are you?")

    turned_away = begin(f"Content-Length: {LARGEST}", admit=nobody)
    assert isinstance(turned_away.error.problem, Unauthorized)
    assert budget.taken == 0


def test_a_connection_that_breaks_gives_back_what_nobody_will_answer(
    budget: BodyBudget, begin: Callable[..., BoundedParser]
) -> None:
    server: Any = SimpleNamespace(active_channels={})
    near, far = socket.socketpair()
    with far:
        channel = PoliteChannel(server, near, None, Adjustments(), map={})
        served, waiting, unfinished = (upload(begin, 1000, size) for size in (1, 20, 300))
        channel.requests, channel.request = [served, waiting], unfinished
        channel.handle_close()
    assert budget.taken == 1
    served.close()  # the thread that answers it does this
    assert budget.taken == 0
