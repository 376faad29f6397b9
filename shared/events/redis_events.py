"""Image events over Redis pub/sub: a change of status wakes the waiting threads of all processes."""

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
"""Seconds without a message after which the listener pings the server."""

SILENCE = 10.0
"""Seconds without a message after which the listener gives up the connection and opens a new one. A connection that the
network has lost looks the same as one without messages."""

_log = logging.getLogger(__name__)


class RedisEvents:
    """`Events` over pub/sub. One thread listens on one connection; `start` or the first watch starts both.

    They start late so that a process may fork before. A process that only publishes never starts them. A broken
    connection is opened again, with back-off. All waiters are woken when it breaks and when it is back, because they
    may have missed an event.
    """

    def __init__(
        self,
        client: redis.Redis,
        on_event: Callable[[Topic, Change], None] | None = None,
        on_gap: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        client: a client of the queue role with short time-outs. One of its connections is kept for listening.
        on_event: called in the listening thread with each event, even if no thread waits for it. It must be quick.
        on_gap: called in the listening thread each time listening begins, because events may have been missed
            before. It must be quick.
        clock: measures how long the connection has been silent.
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
        """Start listening. A second call does nothing."""
        with self._starting:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._listen, name="events", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop listening and wake all waiters. Watches still work afterwards, but only time out."""
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
                            raise redis.TimeoutError("the server sends nothing")
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
            event = json.loads(message["data"])  # type: ignore[arg-type]  # bytes; any other type raises TypeError
            topic, status = (str(event["image_id"]), str(event["model"])), event["status"]
        except (ValueError, TypeError, KeyError):
            _log.warning("events: ignored a foreign message on %s", EVENTS)
            return
        self._crowd.wake(topic)
        if self._on_event is not None:
            self._on_event(topic, status)
