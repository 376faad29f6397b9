"""Whether a running job is still wanted."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from prompt_api.everything.job.key import EverythingKey
from prompt_api.everything.job.queue import EverythingQueue
from shared.contract.errors import StoreUnavailable
from shared.contract.keys import record_key
from shared.events.interface import Watch
from shared.queue.interface import JobStatus
from shared.store.interface import Store

LOOK = 1.0
"""Seconds after which it is looked up again, if no event told of a change."""


class Orders:
    """Asked before each batch of points, so it is cheap: it looks at Redis after an event, and once a second."""

    def __init__(
        self,
        key: EverythingKey,
        watch: Watch,
        *,
        queue: EverythingQueue,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        watch: of `key`.
        store: one that fails at once when the cache is out of reach.
        """
        self._key = key
        self._watch = watch
        self._queue = queue
        self._store = store
        self._clock = clock
        self._next = clock() + LOOK
        self._stopped = False

    def stopped(self) -> bool:
        """Return whether the job was stopped or its image was deleted. If Redis does not answer, it goes on."""
        if not self._stopped and (self._watch.wait(0) or self._clock() >= self._next):
            self._next = self._clock() + LOOK
            with suppress(StoreUnavailable):
                self._stopped = self.forgotten()
        return self._stopped

    def forgotten(self) -> bool:
        """Look whether the queue forgot the job, or the image is no longer known.

        Raises:
            StoreUnavailable: Redis is out of reach.
        """
        return self._queue.state(self._key).status is JobStatus.ABSENT or not self._store.exists(
            record_key(self._key.image_id)
        )
