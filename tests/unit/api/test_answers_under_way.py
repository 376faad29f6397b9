"""Large answers on a real server: they count until they are read, and are refused when there is no room."""

from __future__ import annotations

import dataclasses
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Any

import pytest
from waitress.server import create_server
from waitress.wasyncore import close_all

from prompt_api.http.answer_budget import SMALL, AnswerBudget
from prompt_api.http.app import create_app
from prompt_api.serving.body_budget import BodyBudget
from prompt_api.serving.door import channel_class
from tests.support.world import World, new_world, png

CLICK = {"points": [[40, 30]], "labels": [1]}
LOGITS = {"prompts": [CLICK] * 8, "format": "logits"}
"""Its answer has about 4 MB, more than the buffers of two sockets hold."""

SOON = 30.0


class Service:
    """The API on a socket, with a budget of its own."""

    def __init__(self, budget: AnswerBudget) -> None:
        self.budget = budget
        world: World = new_world()
        self.image_id = world.ready_image(png())
        app = create_app(dataclasses.replace(world.services, answers=budget))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._server = create_server(app, sockets=[self._listener], threads=2)
        self._server.channel_class = channel_class(world.services.access, BodyBudget(1 << 20), lambda *_: None)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()

    def close(self) -> None:
        self._server.trigger.pull_trigger(lambda: close_all(self._server._map))
        self._thread.join(SOON)
        self._server.task_dispatcher.shutdown()

    def ask(self, body: Mapping[str, Any]) -> socket.socket:
        """Return a connection whose answer has begun and is not read."""
        connection = socket.create_connection(self._listener.getsockname(), timeout=SOON)
        content = json.dumps(body).encode()
        path = f"/v1/images/{self.image_id}/masks"
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n"
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


@pytest.mark.parametrize("service", [AnswerBudget(most=9_000_000)], indirect=True)
def test_answers_that_nobody_reads_take_a_bounded_room_and_leave_it_with_their_connections(service: Service) -> None:
    with ExitStack() as unread:
        for _ in range(2):
            connection = unread.enter_context(closing(service.ask(LOGITS)))
            assert connection.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 200"
        held = service.budget.taken
        assert 4_000_000 < held < 9_000_000
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
    assert [len(result["masks"]) for result in answer["results"]] == [3] * 8
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
