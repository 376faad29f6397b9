"""A Label Studio that sends slowly: one deadline over everything, and slow fetches that give way to others."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from prompt_api.integrations.label_studio.credentials import NoToken
from prompt_api.integrations.label_studio.instance import FETCH_SECONDS, IDLE_SECONDS, LabelStudioInstance
from prompt_api.remote_images import exchange
from prompt_api.remote_images.turns import QUICK_SECONDS, FetchTurns
from shared.contract.errors import ImageUnreachable, Overloaded
from tests.support.label_studio import studio

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
STEP = 3.0
"""Seconds of the tests' clock that pass before each byte: fewer than a silence may last."""


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = threading.Event()

    def __call__(self) -> float:
        self.asked.set()
        return self.now


@contextmanager
def dripping(answer: bytes, before_each: Callable[[], None]) -> Iterator[str]:
    """A server that sends `answer` byte by byte: its address."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                try:
                    for byte in answer:
                        before_each()
                        connection.sendall(bytes([byte]))
                except OSError:
                    continue  # the fetch was given up

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        threads.submit(serve, listener)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)


SLOW = {
    "head and body": HEAD + b"abcd",
    "a long head": b"HTTP/1.1 200 OK\r\nX-Very-Long: " + b"a" * 1000 + HEAD[15:] + b"abcd",
    "heads without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 100 + HEAD + b"abcd",
    "redirects": b"HTTP/1.1 302 Found\r\nLocation: b.jpg\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("in_storage", [False, True], ids=["of Label Studio", "of a storage"])
def test_bytes_that_drip_are_given_up_at_the_deadline(answer: bytes, in_storage: bool) -> None:
    assert STEP < IDLE_SECONDS
    clock, over = Clock(), threading.Event()

    def tick() -> None:
        clock.asked.wait(60)  # the byte before was read
        if over.is_set():
            raise ConnectionError
        clock.asked.clear()
        clock.now += STEP

    with dripping(answer, tick) as slow, studio(lambda *_: (303, {"Location": f"{slow}/a.jpg"}, b"")) as (quick, _):
        found = LabelStudioInstance(quick if in_storage else slow, NoToken(), max_bytes=1000, clock=clock)
        with pytest.raises(ImageUnreachable, match="in time"):
            found.fetch("/tasks/7/presign/?fileuri=czM6" if in_storage else "/data/upload/1/a.jpg")
        over.set()
        clock.asked.set()
    assert clock.now <= FETCH_SECONDS + 4 * STEP  # a byte or two may be under way


def test_bytes_that_drip_fast_enough_arrive() -> None:
    with dripping(HEAD + b"abcd", lambda: None) as url:
        assert LabelStudioInstance(url, NoToken(), max_bytes=1000).fetch("/data/upload/1/a.jpg") == b"abcd"


def test_a_fetch_that_may_not_go_on_ends_while_nothing_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "LOOK_SECONDS", 0.01)
    looks = iter(range(10))

    def may_go_on() -> None:
        if next(looks) == 9:
            raise Overloaded("others wait")

    silence = threading.Event()
    with dripping(HEAD, lambda: silence.wait(60) and None) as url:
        found = LabelStudioInstance(url, NoToken(), max_bytes=1000)
        with pytest.raises(Overloaded):
            found.fetch("/data/upload/1/a.jpg", may_go_on)
        silence.set()


# Turns


def test_slow_fetches_go_on_while_nobody_waits() -> None:
    clock = Clock()
    turns = FetchTurns(4, clock)
    with ExitStack() as taken:
        held = [taken.enter_context(turns.take(0)) for _ in range(4)]
        clock.now = 10 * QUICK_SECONDS
        for turn in held:
            turn.check()


def test_while_others_wait_half_of_the_slow_ones_end() -> None:
    clock = Clock()
    turns = FetchTurns(4, clock)
    with ExitStack() as taken:
        held = [taken.enter_context(turns.take(0, lambda: True)) for _ in range(4)]
        for turn in held:
            turn.check()  # quick still
        clock.now = QUICK_SECONDS
        for turn in held[:2]:
            turn.check()
        for turn in held[2:]:
            with pytest.raises(Overloaded, match="slowly"):
                turn.check()
        for turn in held[:2]:
            turn.check()


def test_whoever_waits_gets_the_turn_of_a_slow_one() -> None:
    clock = Clock()
    turns = FetchTurns(2, clock)
    waits = threading.Event()

    def next_one() -> bool:
        waits.set()
        with turns.take(60):
            return True

    with ThreadPoolExecutor(1) as pool, ExitStack() as taken:
        first, second = (taken.enter_context(turns.take(0)) for _ in range(2))
        waiting = pool.submit(next_one)
        waits.wait(60)
        clock.now = QUICK_SECONDS
        ended = 0
        while not ended:  # until the other thread is seen to wait
            first.check()
            try:
                second.check()
            except Overloaded:
                ended += 1
        taken.close()
        assert waiting.result(60)


def test_without_a_turn_in_time_a_fetch_is_refused() -> None:
    turns = FetchTurns(1)
    with turns.take(0), pytest.raises(Overloaded, match="too many"), turns.take(0):
        raise AssertionError("two turns")
    with turns.take(0):
        pass
