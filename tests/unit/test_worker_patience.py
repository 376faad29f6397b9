"""Waiting for Redis: long enough for a short outage, but not forever."""

from __future__ import annotations

import pytest

from shared.contract.errors import StoreUnavailable
from shared.rq_worker.lifetime import wait_until_up
from shared.store.patient_store import PatientStore
from tests.support.memory_store import MemoryStore


class Clock:
    """A clock that moves only in `sleep`."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FlakyStore(MemoryStore):
    """A store that is unavailable until `back_at` on its clock."""

    def __init__(self, clock: Clock, back_at: float) -> None:
        super().__init__(clock)
        self._clock_of_outage = clock
        self._back_at = back_at

    def put(self, key: str, value: bytes, ttl: int) -> None:
        self.ping()
        super().put(key, value, ttl)

    def get(self, key: str) -> bytes | None:
        self.ping()
        return super().get(key)

    def ping(self) -> None:
        if self._clock_of_outage() < self._back_at:
            raise StoreUnavailable("away")


def test_an_outage_shorter_than_the_patience_is_sat_out() -> None:
    clock = Clock()
    store = PatientStore(FlakyStore(clock, back_at=7), patience=10, clock=clock, sleep=clock.sleep)
    store.put("key", b"value", ttl=60)
    assert store.get("key") == b"value"
    assert store.exists("key")
    assert store.delete("key")


def test_a_longer_outage_is_told_within_the_patience() -> None:
    clock = Clock()
    store = PatientStore(FlakyStore(clock, back_at=1000), patience=10, clock=clock, sleep=clock.sleep)
    with pytest.raises(StoreUnavailable):
        store.get("key")
    assert clock.now <= 10


def test_a_worker_waits_for_redis_to_come_up() -> None:
    clock = Clock()
    wait_until_up(FlakyStore(clock, back_at=12).ping, "cache", clock=clock, sleep=clock.sleep)
    assert 12 <= clock.now < 20


def test_a_worker_gives_up_when_redis_stays_away() -> None:
    clock = Clock()
    with pytest.raises(StoreUnavailable):
        wait_until_up(FlakyStore(clock, back_at=1000).ping, "cache", clock=clock, sleep=clock.sleep)
    assert clock.now == pytest.approx(30)
