"""The LRU with a limit in bytes: its limit, its order, and one load for requests that come at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier, Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_api.service.lru import ByteLru

LONG = 60.0
"""Seconds after which a test gives up; nothing asserted depends on it."""


@dataclass(frozen=True)
class Block:
    nbytes: int
    name: str = ""


def test_the_least_recently_used_goes_first() -> None:
    lru: ByteLru[str, Block] = ByteLru(30)
    for name in "abc":
        lru.put(name, Block(10))
    assert lru.get("a")
    lru.put("d", Block(10))
    assert lru.get("b") is None
    assert lru.get("a")
    assert lru.stats().evictions == 1


def test_a_value_over_the_cap_is_handed_through() -> None:
    lru: ByteLru[str, Block] = ByteLru(30)
    lru.put("a", Block(10))
    assert lru.get_or_load("big", lambda: Block(31), timeout=LONG).nbytes == 31
    assert lru.get("big") is None
    assert lru.get("a")


def test_whoever_watches_is_told_what_is_held_after_each_change() -> None:
    told: list[tuple[int, int, int]] = []
    lru: ByteLru[str, Block] = ByteLru(20, lambda stats: told.append((stats.bytes, stats.entries, stats.evictions)))
    for name in "abc":
        lru.get_or_load(name, lambda: Block(10), timeout=LONG)
    lru.discard(lambda name: name == "b")
    assert told == [(10, 1, 0), (20, 2, 0), (20, 2, 1), (10, 1, 1)]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 40))))
def test_the_sum_of_bytes_never_exceeds_the_cap(puts: list[tuple[int, int]]) -> None:
    lru: ByteLru[int, Block] = ByteLru(64)
    for key, size in puts:
        lru.put(key, Block(size))
        stats = lru.stats()
        assert stats.bytes <= 64
        assert stats.bytes == sum(value.nbytes for k in range(6) if (value := lru.get(k)) is not None)


def test_threads_that_miss_together_load_once() -> None:
    lru: ByteLru[str, Block] = ByteLru(100)
    together, loads = Barrier(8), []

    def load() -> Block:
        loads.append(1)
        return Block(1)

    def miss() -> Block:
        together.wait(LONG)
        return lru.get_or_load("a", load, timeout=LONG)

    with ThreadPoolExecutor(8) as pool:
        found = {id(future.result()) for future in [pool.submit(miss) for _ in range(8)]}
    assert len(found) == 1
    assert len(loads) == 1


def test_a_failed_load_reaches_those_who_waited_and_is_forgotten() -> None:
    lru: ByteLru[str, Block] = ByteLru(100)
    started, go = Event(), Event()

    def fail() -> Block:
        started.set()
        go.wait(LONG)
        raise ValueError("no")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lru.get_or_load, "a", fail, timeout=LONG)
        started.wait(LONG)
        second = pool.submit(lru.get_or_load, "a", fail, timeout=LONG)
        while lru.stats().misses < 2:
            pass
        go.set()
        for future in (first, second):
            with pytest.raises(ValueError, match="no"):
                future.result(LONG)
    assert lru.get_or_load("a", lambda: Block(1), timeout=LONG).nbytes == 1


def test_whoever_waits_for_a_load_waits_a_bounded_time() -> None:
    lru: ByteLru[str, Block] = ByteLru(100)
    started, go = Event(), Event()

    def slow() -> Block:
        started.set()
        go.wait(LONG)
        return Block(1)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lru.get_or_load, "a", slow, timeout=LONG)
        started.wait(LONG)
        with pytest.raises(TimeoutError):
            lru.get_or_load("a", slow, timeout=0.01)
        go.set()
        assert first.result(LONG).nbytes == 1


def test_a_value_discarded_while_it_loads_is_not_kept() -> None:
    lru: ByteLru[str, Block] = ByteLru(100)

    def load() -> Block:
        lru.discard(lambda key: True)
        return Block(1)

    assert lru.get_or_load("a", load, timeout=LONG).nbytes == 1
    assert lru.get("a") is None
