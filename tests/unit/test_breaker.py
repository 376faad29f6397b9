"""The circuit breaker: which callers are refused while a server hangs, and which caller tries it again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.redis.breaker import CircuitBreaker, CircuitOpen


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(pause=1.0, clock=clock)


def refused(breaker: CircuitBreaker) -> bool:
    try:
        breaker.check()
    except CircuitOpen:
        return True
    return False


def elsewhere(breaker: CircuitBreaker) -> bool:
    """Return whether a caller in another thread is refused."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(refused, breaker).result()


def test_a_server_that_answers_is_asked(breaker: CircuitBreaker) -> None:
    breaker.close()
    assert not refused(breaker)


def test_a_server_that_hung_is_left_alone_for_a_while(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.trip()
    assert refused(breaker)
    clock.now += 0.99
    assert refused(breaker)


def test_after_the_pause_one_caller_tries_it_and_others_are_refused(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.trip()
    clock.now += 1.0
    assert not refused(breaker)
    assert elsewhere(breaker)
    assert not refused(breaker)  # one operation asks more than once: to connect and to send


def test_an_answer_lets_everybody_in_again(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.trip()
    clock.now += 1.0
    breaker.check()
    breaker.close()
    assert not elsewhere(breaker)


def test_another_wait_in_vain_refuses_everybody_again(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.trip()
    clock.now += 1.0
    breaker.check()
    breaker.trip()
    assert refused(breaker)
    assert elsewhere(breaker)


def test_a_caller_that_never_tells_how_it_went_blocks_nobody_for_long(breaker: CircuitBreaker, clock: Clock) -> None:
    breaker.trip()
    clock.now += 1.0
    assert not elsewhere(breaker)
    assert refused(breaker)
    clock.now += 1.0
    assert not refused(breaker)


def test_whoever_watches_hears_of_each_change_once(clock: Clock) -> None:
    heard: list[bool] = []
    breaker = CircuitBreaker(clock=clock, changed=heard.append)
    breaker.close()
    for _ in range(2):
        breaker.trip()
    for _ in range(2):
        breaker.close()
    assert heard == [True, False]
