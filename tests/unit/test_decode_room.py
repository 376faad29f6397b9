"""Room for images that are decoded at the same time."""

from __future__ import annotations

import time
from contextlib import ExitStack
from queue import Queue
from threading import Thread

import pytest

from encoder_worker.encoding.decode_room import DecodeRoom

SOON = 60.0


class Line:
    """Images that ask for room, each in a thread, and the order in which they got it."""

    def __init__(self, room: DecodeRoom) -> None:
        self.began: Queue[int] = Queue()
        self._room = room
        self._threads: list[Thread] = []

    def ask(self, size: int) -> None:
        """Return once an image of `size` bytes waits for its room."""
        before = self._room.waiting
        self._threads.append(Thread(target=self._decode, args=(size,)))
        self._threads[-1].start()
        deadline = time.monotonic() + SOON
        while self._room.waiting == before:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def order(self) -> list[int]:
        for thread in self._threads:
            thread.join(SOON)
        return [self.began.get_nowait() for _ in self._threads]

    def _decode(self, size: int) -> None:
        with self._room.held(size):
            self.began.put(size)


def test_as_many_images_are_decoded_at_once_as_there_is_room_for() -> None:
    room = DecodeRoom(100)
    with room.held(40), room.held(60):
        line = Line(room)
        line.ask(1)
        assert line.began.empty()
    assert line.order() == [1]


def test_many_small_images_do_not_keep_a_large_one_waiting() -> None:
    room = DecodeRoom(100)
    with ExitStack() as first:
        first.enter_context(room.held(50))
        line = Line(room)
        line.ask(90)
        line.ask(10)  # it would fit, but it came later
        assert line.began.empty()
    assert line.order()[0] == 90


def test_an_image_larger_than_the_room_is_decoded_alone() -> None:
    room = DecodeRoom(100)
    with room.held(1000):
        line = Line(room)
        line.ask(1)
    assert line.order() == [1]


def test_an_image_that_fails_leaves_its_room() -> None:
    room = DecodeRoom(100)
    with pytest.raises(ZeroDivisionError), room.held(100):
        raise ZeroDivisionError
    with room.held(100):
        pass
