"""How long a request waits for Redis: its allowance, or not at all once the server is known to hang."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from shared.redis import allowance
from shared.redis.breaker import CircuitBreaker, CircuitOpen
from shared.redis.connections import request_client
from shared.redis.guarded import GuardedConnection, GuardedSocket, GuardedTlsConnection, GuardedUnixConnection

LONG = 60.0


@contextmanager
def request_of(seconds: float) -> Iterator[None]:
    allowance.grant(seconds)
    try:
        yield
    finally:
        allowance.revoke()


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("redis://here", GuardedConnection),
        ("rediss://here", GuardedTlsConnection),
        ("unix:///here", GuardedUnixConnection),
    ],
)
def test_every_kind_of_url_is_guarded(url: str, kind: type) -> None:
    with request_client(url, LONG) as client:
        assert client.connection_pool.connection_class is kind


def test_an_operation_ends_with_the_allowance_however_long_the_time_out(silent_server: str) -> None:
    with request_client(silent_server, LONG) as client, request_of(0.1), pytest.raises(redis.TimeoutError):
        client.ping()


@pytest.mark.parametrize("read", [lambda sock: sock.recv(16), lambda sock: sock.recv_into(bytearray(16))])
def test_however_the_reply_is_read_the_wait_ends_with_the_allowance(
    silent_server: str, read: Callable[[Any], object]
) -> None:
    """redis-py reads with `recv_into` or `recv`, depending on whether hiredis is installed."""
    url = urlsplit(silent_server)
    plain = socket.create_connection((url.hostname, url.port), timeout=0.5)
    with closing(GuardedSocket(plain, CircuitBreaker())) as sock, request_of(0.1):
        granted = allowance.current()
        assert granted is not None
        with pytest.raises(TimeoutError):
            read(sock)
        assert granted.left <= 0


def test_a_block_may_have_less_than_the_request_and_spends_of_it(silent_server: str) -> None:
    with request_client(silent_server, LONG) as client, request_of(LONG):
        outer = allowance.current()
        assert outer is not None
        with allowance.at_most(0.1), pytest.raises(redis.TimeoutError):
            client.ping()
        assert allowance.current() is outer
        assert LONG - 0.101 < outer.left < LONG  # less the block's time, of which a busy machine is not charged a part
        outer.left = 0.05
        with allowance.at_most(0.1):
            inner = allowance.current()
            assert inner is not None
            assert inner.left == 0.05


def test_a_block_bounds_a_thread_that_has_no_allowance(silent_server: str) -> None:
    allowance.revoke()
    with request_client(silent_server, LONG) as client, allowance.at_most(0.1), pytest.raises(redis.TimeoutError):
        client.ping()
    assert allowance.current() is None


def test_all_operations_of_a_request_share_its_allowance(silent_server: str) -> None:
    with request_client(silent_server, LONG) as first, request_client(silent_server, LONG) as second, request_of(0.1):
        granted = allowance.current()
        assert granted is not None
        with pytest.raises(redis.TimeoutError):
            first.ping()
        assert granted.left < 0.1
        allowance.renew()
        assert granted.left == 0.1
        granted.spend(1.0)
        for client in (first, second):
            with pytest.raises(redis.TimeoutError):
                client.ping()


def test_a_moment_of_each_operation_is_free_and_not_of_each_of_its_waits() -> None:
    granted = allowance.Allowance(1.0)
    for _ in range(10):
        granted.begin_operation()
        granted.spend(allowance.GRACE / 2)
        granted.spend(allowance.GRACE / 2)
    assert granted.left == 1.0
    granted.spend(0.25)
    assert granted.left == 0.75


def test_after_a_wait_in_vain_other_requests_are_refused_at_once(silent_server: str) -> None:
    with request_client(silent_server, 0.1) as client:
        # Nobody is let through to try again, however slow the machine is.
        client.connection_pool.connection_kwargs["breaker"] = CircuitBreaker(pause=LONG)
        with request_of(LONG), pytest.raises(redis.TimeoutError):
            client.ping()
        with request_of(LONG), pytest.raises(CircuitOpen):
            client.ping()


def test_a_request_that_had_little_left_says_nothing_about_the_server(silent_server: str) -> None:
    with request_client(silent_server, LONG) as client:
        for _ in range(2):
            with request_of(0.1), pytest.raises(redis.TimeoutError):
                client.ping()


def test_a_server_that_refuses_does_not_hang() -> None:
    with request_client("redis://127.0.0.1:1/0", LONG) as client:
        for _ in range(2):
            with request_of(LONG), pytest.raises(redis.ConnectionError) as refusal:
                client.ping()
            assert not isinstance(refusal.value, CircuitOpen)


def test_without_an_allowance_the_timeout_of_the_client_applies(silent_server: str) -> None:
    with request_client(silent_server, 0.1) as client:
        for _ in range(2):
            with pytest.raises(redis.TimeoutError):
                client.ping()
