"""The promises of `Store`, tested on every implementation."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import fakeredis
import pytest
import redis

from shared.contract.errors import ConfigurationError, StoreUnavailable
from shared.redis.connections import request_client
from shared.store.interface import Store, StoreWithSets
from shared.store.redis_store import RedisStore
from tests.support.memory_store import MemoryStore

MIB = 1 << 20


def shorten_lives(client: redis.Redis, seconds: float) -> None:
    """Shorten the life of every key by `seconds`, instead of waiting."""
    for key in client.scan_iter():
        client.pexpire(key, client.pttl(key) - round(seconds * 1000))


@dataclass
class Subject:
    """A store, and a function that lets time pass for its keys."""

    store: StoreWithSets
    pass_time: Callable[[float], None]


@pytest.fixture(params=["memory", "fakeredis", "valkey"])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "memory":
        now = [0.0]

        def advance(seconds: float) -> None:
            now[0] += seconds

        yield Subject(MemoryStore(clock=lambda: now[0]), advance)
    elif request.param == "fakeredis":
        with fakeredis.FakeRedis() as client:
            yield Subject(RedisStore(client), partial(shorten_lives, client))
    else:
        with request_client(request.getfixturevalue("valkey_url"), 5.0) as client:
            client.flushdb()
            yield Subject(RedisStore(client), partial(shorten_lives, client))


@pytest.fixture
def store(subject: Subject) -> StoreWithSets:
    return subject.store


def test_what_was_put_is_there(store: Store) -> None:
    store.put("a", b"1", ttl=60)
    assert store.get("a") == b"1"
    assert store.exists("a")


def test_what_was_never_put_is_not(store: Store) -> None:
    assert store.get("a") is None
    assert not store.exists("a")
    assert store.delete("a") is False


def test_any_bytes_come_back_unchanged(store: Store) -> None:
    value = bytes(range(256)) * (2 * MIB // 256) + b"\r\n\0"
    store.put("a", value, ttl=60)
    store.put("empty", b"", ttl=60)
    assert store.get("a") == value
    assert store.get("empty") == b""
    assert store.exists("empty")


def test_a_second_put_replaces_the_value(store: Store) -> None:
    store.put("a", b"1", ttl=60)
    store.put("a", b"2", ttl=60)
    assert store.get("a") == b"2"


def test_keys_do_not_touch_each_other(store: Store) -> None:
    store.put("a", b"1", ttl=60)
    store.put("b", b"2", ttl=60)
    assert store.delete("a") is True
    assert (store.get("a"), store.get("b")) == (None, b"2")


def test_what_was_deleted_is_gone(store: Store) -> None:
    store.put("a", b"1", ttl=60)
    assert store.delete("a") is True
    assert store.get("a") is None
    assert store.delete("a") is False


def test_a_value_ends_with_its_time_to_live(subject: Subject) -> None:
    subject.store.put("short", b"1", ttl=1)
    subject.store.put("long", b"2", ttl=60)
    subject.pass_time(1.05)
    assert subject.store.get("short") is None
    assert not subject.store.exists("short")
    assert subject.store.delete("short") is False
    assert subject.store.get("long") == b"2"


def test_a_second_put_starts_the_time_again(subject: Subject) -> None:
    subject.store.put("a", b"1", ttl=1)
    subject.store.put("a", b"2", ttl=60)
    subject.pass_time(1.05)
    assert subject.store.get("a") == b"2"


def test_it_answers_a_ping(store: Store) -> None:
    store.ping()


def test_threads_share_a_store(store: Store) -> None:
    def work(name: str) -> None:
        for turn in range(20):
            store.put(name, f"{name}{turn}".encode(), ttl=60)
            assert store.get(name) == f"{name}{turn}".encode()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert [store.get(name) for name in "abcd"] == [b"a19", b"b19", b"c19", b"d19"]


def test_a_set_has_what_was_added_and_not_removed(store: StoreWithSets) -> None:
    assert store.members("s") == frozenset()
    for member in ("a", "b", "a"):
        store.add_member("s", member, ttl=60)
    store.add_member("other", "z", ttl=60)
    assert store.members("s") == {"a", "b"}
    assert store.remove_member("s", "a") == 1
    assert store.members("s") == {"b"}
    assert store.members("other") == {"z"}


def test_removing_says_how_many_are_left(store: StoreWithSets) -> None:
    store.add_member("s", "a", ttl=60)
    assert store.remove_member("s", "stranger") == 1
    assert store.remove_member("s", "a") == 0
    assert store.remove_member("s", "a") == 0
    assert store.members("s") == frozenset()


def test_a_set_ends_with_its_time_to_live_which_each_addition_starts_again(subject: Subject) -> None:
    subject.store.add_member("short", "a", ttl=1)
    subject.store.add_member("long", "a", ttl=1)
    subject.store.add_member("long", "b", ttl=60)
    subject.pass_time(1.05)
    assert subject.store.members("short") == frozenset()
    assert subject.store.remove_member("short", "b") == 0
    assert subject.store.members("long") == {"a", "b"}


def test_a_row_gives_out_the_oldest_beyond_its_most(store: StoreWithSets) -> None:
    assert store.append_to_row("r", ["a", "b"], most=3, ttl=60) == []
    assert store.append_to_row("other", ["z"], most=3, ttl=60) == []
    assert store.append_to_row("r", ["c", "c", "d"], most=3, ttl=60) == ["a", "b"]
    assert store.append_to_row("r", [], most=1, ttl=60) == ["c", "c"]
    assert store.append_to_row("r", ["e", "f"], most=0, ttl=60) == ["d", "e", "f"]


def test_an_entry_that_is_renewed_is_the_youngest_and_is_there_once(store: StoreWithSets) -> None:
    for entry in ("a", "b", "c"):
        assert store.renew_in_row("regions", entry, most=3, ttl=60) == []
    assert store.renew_in_row("regions", "a", most=3, ttl=60) == []
    assert store.row("regions") == ["b", "c", "a"]
    assert store.renew_in_row("regions", "d", most=3, ttl=60) == ["b"]
    assert store.renew_in_row("regions", "d", most=1, ttl=60) == ["c", "a"]
    assert store.row("regions") == ["d"]
    assert store.row("nothing") == []


def test_values_and_rows_are_deleted_together(store: StoreWithSets) -> None:
    store.put("{i}a", b"1", ttl=60)
    store.put("{i}b", b"2", ttl=60)
    store.renew_in_row("{i}row", "a", most=3, ttl=60)
    store.delete_together(["{i}a", "{i}row", "{i}missing"])
    store.delete_together([])
    assert (store.get("{i}a"), store.get("{i}b"), store.row("{i}row")) == (None, b"2", [])


def test_a_row_ends_with_its_time_to_live_which_each_addition_starts_again(subject: Subject) -> None:
    subject.store.append_to_row("short", ["a"], most=9, ttl=1)
    subject.store.append_to_row("long", ["a"], most=9, ttl=1)
    subject.store.append_to_row("long", ["b"], most=9, ttl=60)
    subject.pass_time(1.05)
    assert subject.store.append_to_row("short", ["c"], most=0, ttl=60) == ["c"]
    assert subject.store.append_to_row("long", ["c"], most=0, ttl=60) == ["a", "b", "c"]


OPERATIONS: list[Callable[[StoreWithSets], object]] = [
    lambda store: store.get("a"),
    lambda store: store.put("a", b"1", ttl=60),
    lambda store: store.exists("a"),
    lambda store: store.delete("a"),
    lambda store: store.ping(),
    lambda store: store.add_member("s", "a", ttl=60),
    lambda store: store.members("s"),
    lambda store: store.remove_member("s", "a"),
    lambda store: store.append_to_row("r", ["a"], most=1, ttl=60),
]
NAMES = ["get", "put", "exists", "delete", "ping", "add_member", "members", "remove_member", "append_to_row"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_a_server_that_is_not_there_is_store_unavailable(operation: Callable[[StoreWithSets], object]) -> None:
    with request_client("redis://127.0.0.1:1/0", 0.2) as client, pytest.raises(StoreUnavailable) as failure:
        operation(RedisStore(client))
    assert failure.value.retry_after


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_a_server_that_refuses_is_store_unavailable(operation: Callable[[StoreWithSets], object]) -> None:
    server = fakeredis.FakeServer()
    server.connected = False
    with fakeredis.FakeRedis(server=server) as client, pytest.raises(StoreUnavailable):
        operation(RedisStore(client))


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_a_server_that_hangs_is_store_unavailable_after_the_time_out(
    operation: Callable[[StoreWithSets], object], silent_server: str
) -> None:
    with request_client(silent_server, 0.1) as client, pytest.raises(StoreUnavailable):
        operation(RedisStore(client))


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def test_a_unix_socket_is_a_redis_url_too() -> None:
    with request_client("unix:///nowhere/redis.sock", 0.2) as client, pytest.raises(StoreUnavailable):
        RedisStore(client).ping()


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://localhost", "redis://user:s3cret#x@host:1/0"])
def test_a_malformed_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        request_client(url, 0.2)
    assert "s3cret" not in refusal.value.detail
