"""Image events over Redis pub/sub: a change of status wakes the waiting threads of all processes."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import cast, get_args

import redis

from shared.contract.errors import StoreUnavailable
from shared.contract.job_key import JobKey
from shared.contract.keys import EVENTS
from shared.events.crowd import Crowd
from shared.events.interface import Change, Topic, Watch, message_of, topic_of
from shared.redis.failures import translated_errors

ASK = 5.0
"""Seconds without a message after which the listener pings the server."""

SILENCE = 10.0
"""Seconds without a message after which the listener gives up the connection and opens a new one. A connection that the
network has lost looks the same as one without messages."""

DEAF = 2 * SILENCE
"""Seconds without a message after which the listener counts as gone. A new connection brings a message at once."""

_LONGEST_MESSAGE = 4096
"""Bytes. An event of this service has a few hundred."""

_log = logging.getLogger(__name__)


class RedisEvents:
    """`Events` over pub/sub. One thread listens on one connection; `start` or the first watch starts both.

    They start late so that a process may fork before. A process that only publishes never starts them. A broken
    connection is opened again, with back-off. All waiters are woken when it breaks and when it is back, because they
    may have missed an event. No error ends the thread, whatever arrives and whatever a callback raises.
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
        self._heard = 0.0

    def publish(self, key: JobKey, status: Change) -> None:
        try:
            with translated_errors(self._client):
                self._client.publish(EVENTS, message_of(key, status))
        except StoreUnavailable:  # its reason was logged
            _log.warning("event lost (%s %s)", key.image_id[:12], status)

    def watch(self, key: JobKey) -> AbstractContextManager[Watch]:
        self.start()
        return self._crowd.joined(topic_of(key))

    def start(self) -> None:
        """Start listening. A second call does nothing."""
        with self._starting:
            if self._thread is None and not self._stop.is_set():
                self._heard = self._clock()
                self._thread = threading.Thread(target=self._listen, name="events", daemon=True)
                self._thread.start()

    def ping(self) -> None:
        """Return if this process hears events. One that never listened, or was closed, passes.

        Raises:
            StoreUnavailable: it has heard nothing for `DEAF` seconds.
        """
        if self._thread is None or self._stop.is_set():
            return
        if not self._thread.is_alive() or self._clock() - self._heard > DEAF:
            raise StoreUnavailable("this process does not hear when images change")

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
            before = self._heard
            try:
                self._listen_once()
            except Exception as error:  # nothing that arrives, and nothing that a callback raises, ends this thread
                expected = isinstance(error, redis.RedisError | OSError)
                if self._heard != before:
                    pause = shortest
                _log.warning(
                    "events: %s: %s; connecting again in %.1f s",
                    type(error).__name__,
                    error,
                    pause,
                    exc_info=None if expected else error,
                )
                self._crowd.wake_all()
                self._stop.wait(pause)
                pause = min(2 * pause, longest)

    def _listen_once(self) -> None:
        """Listen on one connection until `close`.

        Raises:
            redis.RedisError, OSError: the connection is broken or silent.
        """
        with self._client.pubsub() as pubsub:  # type: ignore[no-untyped-call]  # redis-py has no annotation here
            pubsub.subscribe(EVENTS)
            heard = self._clock()
            while not self._stop.is_set():
                # The time-out bounds how long `close` takes.
                message = pubsub.get_message(timeout=min(1.0, ASK))
                silence = self._clock() - heard
                if message is not None:
                    self._dispatch(message)
                    heard = self._heard = self._clock()
                elif silence > SILENCE:
                    raise redis.TimeoutError("the server sends nothing")
                elif silence > ASK:
                    pubsub.ping()

    def _dispatch(self, message: dict[str, object]) -> None:
        if message["type"] == "subscribe":
            self._crowd.wake_all()
            if self._on_gap is not None:
                self._on_gap()
        if message["type"] != "message":
            return
        event = _read(message["data"])
        if event is None:
            _log.warning("events: ignored a foreign message on %s", EVENTS)
            return
        topic, status = event
        if status == "deleted":
            self._crowd.wake_parts(topic)
        else:
            self._crowd.wake(topic)
        if self._on_event is not None:
            self._on_event(topic, status)


def _read(data: object) -> tuple[Topic, Change] | None:
    """Return what a message says, or None if this service did not write it."""
    if not isinstance(data, bytes) or len(data) > _LONGEST_MESSAGE:
        return None
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return None
    match event:
        case {"image_id": str(image_id), "model": str(model), "status": str(status)} if status in get_args(Change):
            part = event.get("part", "")
            return ((image_id, model, part), cast(Change, status)) if isinstance(part, str) else None
    return None
