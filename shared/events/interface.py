"""Image events: the messages, and the protocol that publishes and receives them.

A message may be lost (a restart, a full buffer, a broken connection). So an event is only a hint to read the image's
state again. Code that waits keeps a deadline and reads the state at least once a second.
"""

from __future__ import annotations

import json
import threading
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from shared.contract.keys import EmbeddingKey

Change = Literal["queued", "encoding", "ready", "failed", "deleted", "released"]
"""What happened to an image, or to a region of it. Clients are told all of these except the last two. `released` means
that one of the namespaces that uploaded the image deleted it, and others still have it."""

Topic = tuple[str, str, str]
"""(image id, model name, text of the region). The text is empty for the whole image."""


def topic_of(key: EmbeddingKey) -> Topic:
    return key.image_id, key.model, "" if key.region is None else key.region.text


def message_of(key: EmbeddingKey, status: Change) -> str:
    """Return the message that is published on `EVENTS`."""
    part = {} if key.region is None else {"region": key.region.text}
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

    def publish(self, key: EmbeddingKey, status: Change) -> None:
        """Wake all waiters of `key`. Never raises: waiters also read the state by themselves."""
        ...

    def watch(self, key: EmbeddingKey) -> AbstractContextManager[Watch]:
        """Watch `key` inside the block. Enter the block, read the state, then wait: no event in between is missed."""
        ...

    def ping(self) -> None:
        """Return if this process hears events, as far as it listens.

        Raises:
            StoreUnavailable: it should hear them, and does not.
        """
        ...
