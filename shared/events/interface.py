"""Image events: the messages, and the protocol that publishes and receives them.

A message may be lost (a restart, a full buffer, a broken connection). So an event is only a hint to read the image's
state again. Code that waits keeps a deadline and reads the state at least once a second.
"""

from __future__ import annotations

import json
import threading
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from shared.contract.job_key import JobKey

Change = Literal["queued", "encoding", "ready", "failed", "deleted", "released", "progress", "stopped"]
"""What happened to an image, to a region of it, or to an everything job. Clients are not told of `deleted` and
`released`. `released` means that one of the namespaces that uploaded the image deleted it, and others still have it.
`deleted` of an image is for its regions and its jobs too. Only everything jobs know `progress` and `stopped`."""

Topic = tuple[str, str, str]
"""(image id, model name, `JobKey.part`)."""


def topic_of(key: JobKey) -> Topic:
    return key.image_id, key.model, key.part


def message_of(key: JobKey, status: Change) -> str:
    """Return the message that is published on `EVENTS`."""
    part = {"part": key.part} if key.part else {}
    return json.dumps({"image_id": key.image_id, "model": key.model, **part, "status": status})


class Watch:
    """One waiter for an image or a region. Enter the watch before you read the state of the image."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def wait(self, timeout: float) -> bool:
        """Wait for an event since the last wait (or since the watch began), for at most `timeout` seconds.

        The wait may end early without an event: read the state again and keep a deadline.

        Returns:
            True if the wait was woken, False after `timeout` seconds.
        """
        woken = self._event.wait(max(0.0, timeout))
        self._event.clear()
        return woken


class Events(Protocol):
    """Publishes and receives changes of an image's status."""

    def publish(self, key: JobKey, status: Change) -> None:
        """Wake all waiters of `key`. Never raises: waiters also read the state by themselves."""
        ...

    def watch(self, key: JobKey) -> AbstractContextManager[Watch]:
        """Watch `key` inside the block. Enter the block, read the state, then wait: no event in between is missed."""
        ...

    def ping(self) -> None:
        """Return if this process hears events, as far as it listens.

        Raises:
            StoreUnavailable: it should hear them, and does not.
        """
        ...
