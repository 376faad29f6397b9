"""Bodies under way: their sum is bounded, whatever becomes of the requests, and small ones always find room."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from waitress.adjustments import Adjustments

from prompt_api.body_budget import MOST, RESERVED, SMALL, BodyBudget
from prompt_api.channel import PoliteChannel
from prompt_api.request_parser import BoundedParser, Refusal
from shared.errors import Overloaded, Unauthorized

LARGEST = 33 * 1024 * 1024
ROOM = (MOST - RESERVED) // LARGEST
"""So many of the largest bodies are taken at once."""


def anybody(_headers: Mapping[str, str]) -> None:
    return


@pytest.fixture
def budget() -> BodyBudget:
    return BodyBudget(LARGEST)


@pytest.fixture
def begin(budget: BodyBudget) -> Callable[..., BoundedParser]:
    """A parser that was given the head of an upload."""
    adjustments = Adjustments(max_request_body_size=LARGEST + 1)

    def head(*headers: str, admit: Callable[[Mapping[str, str]], None] = anybody) -> BoundedParser:
        parser = BoundedParser(adjustments, budget, admit)
        parser.received("\r\n".join(["POST /v1/images HTTP/1.1", "Host: x", *headers, "", ""]).encode())
        return parser

    return head


def assert_no_room(parser: BoundedParser) -> None:
    assert parser.completed
    assert not parser.expect_continue
    assert isinstance(parser.error, Refusal)
    assert isinstance(parser.error.problem, Overloaded)
    assert parser.error.problem.retry_after


def test_a_body_for_which_there_is_no_room_is_refused_before_it_is_sent(
    budget: BodyBudget, begin: Callable[..., BoundedParser]
) -> None:
    taken = [begin(f"Content-Length: {LARGEST}") for _ in range(ROOM)]
    assert [parser.completed for parser in taken] == [False] * ROOM
    assert_no_room(begin(f"Content-Length: {LARGEST}", "Expect: 100-continue"))
    assert budget.taken == ROOM * LARGEST
    taken[0].close()
    assert not begin(f"Content-Length: {LARGEST}").completed


def test_a_body_of_unknown_length_takes_what_came_of_it(
    budget: BodyBudget, begin: Callable[..., BoundedParser]
) -> None:
    others = [begin(f"Content-Length: {LARGEST}") for _ in range(ROOM)]
    chunked = begin("Transfer-Encoding: chunked")
    assert not chunked.completed
    piece = b"%x\r\n" % SMALL + bytes(SMALL) + b"\r\n"
    left = MOST - RESERVED - budget.taken
    for _ in range(left // len(piece)):
        chunked.received(piece)
    assert not chunked.completed
    chunked.received(piece)
    assert_no_room(chunked)
    for parser in (*others, chunked):
        parser.close()
    assert budget.taken == 0


def test_prompts_find_room_while_uploads_find_none(begin: Callable[..., BoundedParser]) -> None:
    while not begin(f"Content-Length: {SMALL + 1}").completed:
        pass
    assert not begin(f"Content-Length: {SMALL}").completed
    while not begin(f"Content-Length: {SMALL}").completed:  # theirs is bounded as well
        pass


@pytest.mark.parametrize("largest", [1, LARGEST, 10 * MOST])
def test_the_largest_body_always_finds_room_in_an_idle_process(largest: int) -> None:
    BodyBudget(largest).share().hold(largest)


def test_room_is_given_back_once(budget: BodyBudget, begin: Callable[..., BoundedParser]) -> None:
    begin(f"Content-Length: {LARGEST}")
    gone = begin("Content-Length: 1000")
    gone.close()
    gone.close()
    assert gone.received(b"x" * 10) == 10
    assert budget.taken == LARGEST


def test_a_stranger_takes_no_room(budget: BodyBudget, begin: Callable[..., BoundedParser]) -> None:
    def nobody(_headers: Mapping[str, str]) -> None:
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
        served, waiting, unfinished = (begin(f"Content-Length: {size}") for size in (1, 20, 300))
        channel.requests, channel.request = [served, waiting], unfinished
        channel.handle_close()
    assert budget.taken == 1
    served.close()  # by the thread that answers it
    assert budget.taken == 0
