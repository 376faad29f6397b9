"""News of images over pub/sub: a change of status wakes the threads of all processes that wait for it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import redis

from shared.contract.keys import EVENTS, EmbeddingKey
from shared.events.crowd import Crowd
from shared.events.interface import Change, Topic, Watch, message_of

ASK = 5.0
SILENCE = 10.0
"""Seconds without a word after which whoever hears asks the server for one, and takes the connection for dead. A
connection that a network lost says nothing, as one without news."""

_log = logging.getLogger(__name__)


class RedisEvents:
    """`Events` over pub/sub, heard by one thread on one connection, both started by `start` or the first watch.

    The start is late so that a process may fork before it, and one that only publishes has neither. The
    connection heals by itself, with back-off; all who wait are woken when it breaks and when it is back,
    since they may have missed something.
    """

    def __init__(
        self,
        client: redis.Redis,
        on_event: Callable[[Topic, Change], None] | None = None,
        on_gap: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        client: belongs to the queue role and has short time-outs; one of its connections is kept for hearing.
        on_event: called in the hearing thread with each event, awaited or not; it must be quick.
        on_gap: called there each time hearing begins: events may have been missed before. It must be quick.
        clock: tells how long the connection has been silent.
        """
        self._client = client
        self._on_event = on_event
        self._on_gap = on_gap
        self._clock = clock
        self._crowd = Crowd()
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def publish(self, key: EmbeddingKey, status: Change) -> None:
        try:
            self._client.publish(EVENTS, message_of(key, status))
        except redis.RedisError as error:
            _log.warning("event lost (%s %s): %s", key.image_id[:12], status, error)

    def watch(self, key: EmbeddingKey) -> AbstractContextManager[Watch]:
        self.start()
        return self._crowd.joined((key.image_id, key.model))

    def start(self) -> None:
        """Begin to hear; again is harmless."""
        with self._starting:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._listen, name="events", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop hearing and wake all who wait. Watches still work afterwards; they just time out."""
        self._stop.set()
        self._crowd.wake_all()
        with self._starting:
            if self._thread is not None:
                self._thread.join(timeout=5)

    def _listen(self) -> None:
        shortest, longest = 0.1, 2.0  # seconds between attempts to connect
        pause = shortest
        while not self._stop.is_set():
            try:
                with self._client.pubsub() as pubsub:  # type: ignore[no-untyped-call]  # redis-py has no annotation here
                    pubsub.subscribe(EVENTS)
                    heard = self._clock()
                    while not self._stop.is_set():
                        # The time-out bounds how long `close` takes.
                        message = pubsub.get_message(timeout=min(1.0, ASK))
                        silence = self._clock() - heard
                        if message is not None:
                            pause, heard = shortest, self._clock()
                            self._dispatch(message)
                        elif silence > SILENCE:
                            raise redis.TimeoutError("the server says nothing")
                        elif silence > ASK:
                            pubsub.ping()
            except (redis.RedisError, OSError) as error:
                _log.warning("events: %s; connecting again in %.1f s", error, pause)
                self._crowd.wake_all()
                self._stop.wait(pause)
                pause = min(2 * pause, longest)

    def _dispatch(self, message: dict[str, object]) -> None:
        if message["type"] == "subscribe":
            self._crowd.wake_all()
            if self._on_gap is not None:
                self._on_gap()
        if message["type"] != "message":
            return
        try:
            event = json.loads(message["data"])  # type: ignore[arg-type]  # bytes, or else a TypeError
            topic, status = (str(event["image_id"]), str(event["model"])), event["status"]
        except (ValueError, TypeError, KeyError):
            _log.warning("events: ignored a foreign message on %s", EVENTS)
            return
        self._crowd.wake(topic)
        if self._on_event is not None:
            self._on_event(topic, status)
