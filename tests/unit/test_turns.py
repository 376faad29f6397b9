"""Turns to decode: in rotation between clients, and only so many large requests at once."""

from __future__ import annotations

import time
from contextlib import ExitStack
from queue import Queue
from threading import Thread

import pytest

from prompt_api.service.turns import FEW, Turns
from shared.contract.errors import Overloaded
from shared.observe.stages import Stages

SOON = 60.0


class Crowd:
    """Requests that wait for a turn, each in a thread, and the order in which they got it."""

    def __init__(self, turns: Turns) -> None:
        self.served: Queue[str] = Queue()
        self._turns = turns
        self._threads: list[Thread] = []

    def wait_as(self, client: str) -> None:
        """Return once a further request of `client` waits."""
        before = self._turns.waiting
        self._threads.append(Thread(target=self._take, args=(client,)))
        self._threads[-1].start()
        deadline = time.monotonic() + SOON
        while self._turns.waiting == before:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def all_served(self) -> list[str]:
        for thread in self._threads:
            thread.join(SOON)
        return [self.served.get_nowait() for _ in self._threads]

    def _take(self, client: str) -> None:
        assert self._turns.take(client, SOON)
        self.served.put(client)
        self._turns.give_back()


def test_clients_are_served_in_rotation_however_many_requests_one_of_them_has() -> None:
    turns = Turns(1, large=4)
    assert turns.take("heavy", 0)
    crowd = Crowd(turns)
    for client in ("heavy", "heavy", "heavy", "light", "heavy", "other"):
        crowd.wait_as(client)
    turns.give_back()
    assert crowd.all_served() == ["heavy", "light", "other", "heavy", "heavy", "heavy"]


def test_a_turn_that_nobody_took_in_time_is_not_lost() -> None:
    turns = Turns(1, large=4)
    assert turns.take("one", 0)
    assert not turns.take("two", 0.01)
    assert not turns.wanted
    turns.give_back()
    assert turns.take("two", 0)


def test_a_turn_is_given_away_only_if_somebody_waits() -> None:
    turns = Turns(1, large=4)
    with turns.turn("heavy", 64, Stages()) as turn:
        turn.give_way()
        crowd = Crowd(turns)
        crowd.wait_as("light")
        turn.give_way()
        assert crowd.all_served() == ["light"]
        assert not turns.take("anyone", 0)
    assert turns.take("anyone", 0)


def test_the_time_of_a_turn_does_not_run_while_it_is_given_away() -> None:
    turns = Turns(1, large=4)
    with turns.turn("heavy", 64, Stages()) as turn:
        turn.end()
        assert turn.seconds == turn.seconds
        turn.begin(0)


def test_of_large_requests_one_client_may_have_half_and_another_still_finds_room() -> None:
    turns = Turns(100, large=4)

    def begin(client: str, prompts: int = FEW + 1) -> None:
        open_turns.enter_context(turns.turn(client, prompts, Stages()))

    with ExitStack() as open_turns:
        begin("heavy")
        begin("heavy")
        with pytest.raises(Overloaded) as refused:
            begin("heavy")
        assert refused.value.retry_after == 1
        begin("heavy", FEW)  # a small request is never refused for this
        for client in ("second", "third", "fourth", "fifth"):
            begin(client)
        with pytest.raises(Overloaded):
            begin("sixth")
        with pytest.raises(Overloaded):
            begin("second")
    begin_again = turns.turn("heavy", FEW + 1, Stages())
    with begin_again:
        pass
