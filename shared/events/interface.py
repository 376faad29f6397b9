"""News of images: what is said of them, and who hears it.

A message may be lost (a restart, a full buffer, a broken connection), so an event is a hint to look again, never the
truth. Code that waits keeps a deadline and looks at least once a second.
"""

from __future__ import annotations

import json
import threading
from contextlib import AbstractContextManager
from typing import Literal, Protocol

from shared.contract.keys import EmbeddingKey

Change = Literal["queued", "encoding", "ready", "failed", "deleted", "released"]
"""What happened to the image; all but the last two are also what clients are told. `released`: one of those who
uploaded it deleted it, others still have it."""

Topic = tuple[str, str]
"""(image id, model name)."""


def message_of(key: EmbeddingKey, status: Change) -> str:
    """What is published on `EVENTS`."""
    return json.dumps({"image_id": key.image_id, "model": key.model, "status": status})


class Watch:
    """A place among those who wait for one image, taken before the state of the image is looked at."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def wait(self, timeout: float) -> bool:
        """Return once something was published since the last wait (or since the watch began), or after
        `timeout` seconds. It may return early for no reason: look at the state again, keep a deadline.

        Returns:
            Whether it was woken; False after `timeout` seconds.
        """
        woken = self._event.wait(max(0.0, timeout))
        self._event.clear()
        return woken


class Events(Protocol):
    """Says and hears that images change their status."""

    def publish(self, key: EmbeddingKey, status: Change) -> None:
        """Wake those who wait for `key`. Never raises: they look for themselves soon enough."""
        ...

    def watch(self, key: EmbeddingKey) -> AbstractContextManager[Watch]:
        """Nothing published inside the block is missed: enter it, look at the state, then wait."""
        ...
