"""Rate limits are shared through Redis, give an exact delay, and never wait for Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator

import fakeredis
import pytest

from prompt_api.access.rates import OUTAGE_PAUSE, RateLimits, parse_rate, parse_rates
from prompt_api.access.scopes import Quota
from shared.contract.errors import RateLimited
from shared.contract.settings import Settings
from shared.redis.connections import request_client

PROMPTS, UPLOADS = Quota.PROMPTS, Quota.UPLOADS


def rates(prompts: str = "", uploads: str = "") -> dict[Quota, object]:
    return dict(parse_rates(Settings(rate_limit_prompts=prompts, rate_limit_uploads=uploads)))


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


@pytest.fixture
def client(server: fakeredis.FakeServer) -> Iterator[fakeredis.FakeRedis]:
    with fakeredis.FakeRedis(server=server) as found:
        yield found


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The current time for counting in this process; a test may change it."""
    found = [1_000_000.0]
    monkeypatch.setattr(time, "time", lambda: found[0])
    return found


def fill(limits: RateLimits, quota: Quota, client: str) -> int:
    """Spend until the client is refused, and return the number of accepted requests."""
    for number in range(1000):
        try:
            limits.spend(quota, client)
        except RateLimited:
            return number
    return -1


def test_without_limits_redis_is_not_asked(client: fakeredis.FakeRedis) -> None:
    limits = RateLimits(rates(), client)
    assert fill(limits, PROMPTS, "alice") == -1
    assert client.keys() == []
    assert parse_rate("SAM_X", "") is None


def test_each_client_and_each_quota_has_its_own_share(client: fakeredis.FakeRedis) -> None:
    limits = RateLimits(rates("5/minute", "2/minute"), client)
    assert fill(limits, PROMPTS, "alice") == 5
    assert fill(limits, PROMPTS, "bob") == 5
    assert fill(limits, UPLOADS, "alice") == 2


def test_processes_share_what_they_count_and_it_ends_by_itself(server: fakeredis.FakeServer) -> None:
    with fakeredis.FakeRedis(server=server) as mine, fakeredis.FakeRedis(server=server) as yours:
        here, there = RateLimits(rates("5/minute"), mine), RateLimits(rates("5/minute"), yours)
        for limits in (here, there, here, there):
            limits.spend(PROMPTS, "alice")
        assert fill(here, PROMPTS, "alice") == 1
        assert fill(there, PROMPTS, "alice") == 0
        counters = list(mine.scan_iter())
        assert all(key.startswith(b"sam:rate:{") for key in counters)
        assert all(0 < mine.ttl(key) <= 120 for key in counters)


def test_a_refusal_names_the_limit_and_counts_for_nothing(now: list[float]) -> None:
    limits = RateLimits(rates("5/minute"))
    for _ in range(5):
        limits.spend(PROMPTS, "alice")
    for _ in range(50):
        with pytest.raises(RateLimited, match="5/minute prompts") as refusal:
            limits.spend(PROMPTS, "alice")
    assert refusal.value.extra == {"limit": "5/minute"}
    now[0] += 120
    assert fill(limits, PROMPTS, "alice") == 5


@pytest.mark.parametrize("cost", [1, 3, 10, 64])
@pytest.mark.parametrize("spread", [0.0, 0.5, 3.0])
def test_after_the_time_it_names_the_client_gets_what_it_asked_for(now: list[float], cost: int, spread: float) -> None:
    limits = RateLimits(rates("10/minute"))
    while True:
        now[0] += spread + 0.001
        try:
            limits.spend(PROMPTS, "alice", cost)
        except RateLimited as refusal:
            wait = refusal.retry_after
            break
    assert wait is not None
    assert 0 < wait <= 120
    now[0] += wait + 0.01
    limits.spend(PROMPTS, "alice", cost)


def test_a_batch_larger_than_the_whole_share_takes_the_whole_share(now: list[float]) -> None:
    limits = RateLimits(rates("10/second"))
    limits.spend(PROMPTS, "alice", 64)
    assert fill(limits, PROMPTS, "alice") == 0


def test_without_redis_each_process_counts_for_itself_and_asks_again_later(
    server: fakeredis.FakeServer, client: fakeredis.FakeRedis
) -> None:
    now = [0.0]
    limits = RateLimits(rates("5/minute"), client, clock=lambda: now[0])
    server.connected = False
    assert fill(limits, PROMPTS, "alice") == 5
    server.connected = True
    assert fill(limits, PROMPTS, "alice") == 0  # still counted in this process
    assert client.keys() == []
    now[0] += OUTAGE_PAUSE
    assert fill(limits, PROMPTS, "alice") == 5
    assert client.keys() != []


def test_a_redis_that_is_not_there_keeps_nobody_waiting() -> None:
    with request_client("redis://127.0.0.1:1/0", 0.2) as client:
        assert fill(RateLimits(rates("5/minute"), client), PROMPTS, "alice") == 5
