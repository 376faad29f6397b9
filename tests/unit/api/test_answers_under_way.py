"""Large answers on a real server: they count until they are read, and are refused when there is no room."""

from __future__ import annotations

import dataclasses
import json
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Any

import pytest

from prompt_api.http.answer_budget import SMALL, AnswerBudget
from prompt_api.http.app import create_app
from tests.support.served import served
from tests.support.world import World, new_world, png

CLICK = {"points": [[40, 30]], "labels": [1]}
LOGITS = {"prompts": [CLICK] * 16, "format": "logits"}
"""Its answer has about 8 MB. The kernel keeps at most 4 MB for a socket that sends."""

RECEIVE_BUFFER = 64 * 1024
"""Bytes that the kernel may keep for a client that does not read."""

SOON = 60.0


class Service:
    """The API on a socket, with a budget of its own."""

    def __init__(self, budget: AnswerBudget) -> None:
        self.budget = budget
        world: World = new_world()
        self.image_id = world.ready_image(png())
        app = create_app(dataclasses.replace(world.services, answers=budget))
        self._stack = ExitStack()
        self._served = self._stack.enter_context(served(app))

    def close(self) -> None:
        self._stack.close()

    def ask(self, body: Mapping[str, Any]) -> socket.socket:
        """Return a connection whose answer has begun and is not read."""
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        connection.settimeout(SOON)
        connection.connect(("127.0.0.1", self._served.port))
        content = json.dumps(body).encode()
        start = f"POST /v1/images/{self.image_id}/masks HTTP/1.1\r\nHost: localhost\r\n"
        head = f"{start}Content-Length: {len(content)}\r\n\r\n"
        connection.sendall(head.encode() + content)
        connection.recv(1, socket.MSG_PEEK)
        return connection

    def answer(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        """Return the status and the whole answer."""
        with closing(self.ask(body)) as connection:
            read = b""
            while b"\r\n\r\n" not in read:
                read += connection.recv(65536)
            head, _, content = read.partition(b"\r\n\r\n")
            fields = dict(line.lower().split(": ", 1) for line in head.decode().splitlines()[1:])
            while len(content) < int(fields["content-length"]):
                content += connection.recv(1 << 20)
        return int(head.split()[1]), json.loads(content)

    def wait_until_taken(self, size: int) -> None:
        deadline = time.monotonic() + SOON
        while self.budget.taken != size:
            assert time.monotonic() < deadline, self.budget.taken
            time.sleep(0.005)


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    service = Service(request.param)
    yield service
    service.close()


@pytest.mark.parametrize("service", [AnswerBudget(most=18_000_000)], indirect=True)
def test_answers_that_nobody_reads_take_a_bounded_room_and_leave_it_with_their_connections(service: Service) -> None:
    with ExitStack() as unread:
        for _ in range(2):
            connection = unread.enter_context(closing(service.ask(LOGITS)))
            assert connection.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
        held = service.budget.taken
        assert 16_000_000 < held < 18_000_000
        status, problem = service.answer(LOGITS)
        assert (status, problem["code"]) == (503, "overloaded")
        assert service.answer({"prompts": [CLICK]})[0] == 200
        assert service.budget.taken == held
    service.wait_until_taken(0)
    assert service.answer(LOGITS)[0] == 200


@pytest.mark.parametrize("service", [AnswerBudget()], indirect=True)
def test_a_large_answer_is_whole_and_leaves_its_room_when_it_is_read(service: Service) -> None:
    status, answer = service.answer(LOGITS)
    assert status == 200
    assert [len(result["masks"]) for result in answer["results"]] == [3] * 16
    assert len({mask["logits"] for result in answer["results"] for mask in result["masks"]}) == 3
    service.wait_until_taken(0)


@pytest.mark.parametrize("service", [AnswerBudget(largest=1_000_000)], indirect=True)
def test_an_answer_that_would_be_too_large_is_refused_whole(service: Service) -> None:
    status, problem = service.answer(LOGITS)
    assert (status, problem["code"], problem["max_bytes"]) == (422, "answer-too-large", 1_000_000)
    service.wait_until_taken(0)


def test_a_route_that_knows_nothing_of_the_budget_is_counted_too() -> None:
    world = new_world()
    image_id = world.ready_image(png())
    path = f"/v1/images/{image_id}/embedding"
    for most, status in ((SMALL, 503), (10_000_000, 200)):
        budget = AnswerBudget(most=most)
        client = create_app(dataclasses.replace(world.services, answers=budget)).test_client()
        answer = client.get(path)
        assert answer.status_code == status
        assert client.head(path).status_code == status
        assert len(answer.data) > SMALL or status == 503
        answer.close()
        assert budget.taken == 0
