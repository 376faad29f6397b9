"""How many workers of each served model are alive, and how many mask workers.

A thread looks at the queue, so that no request waits for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from threading import Event, Thread

from prompt_api.everything.job.key import everything_queue
from shared.contract.errors import StoreUnavailable
from shared.contract.keys import queue_name
from shared.contract.models import Model
from shared.queue.interface import EncodeQueue

LOOK_SECONDS = 2.0
"""Seconds between two looks at the queue."""

KNOWN_SECONDS = 10.0
"""Seconds after which a look is too old to be told."""

_log = logging.getLogger(__name__)


class LiveWorkers:
    """Knows how many workers of each model were alive a moment ago. Safe for threads."""

    def __init__(
        self, queue: EncodeQueue, models: Iterable[Model], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Args:
        models: the served models.
        clock: returns monotonic seconds.
        """
        self._queue = queue
        self._names = tuple(
            name(model.name, model.weights_digest) for model in models for name in (queue_name, everything_queue)
        )
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}  # by queue: the count, and when it was asked for
        self._stopped = Event()
        self._thread = Thread(target=self._look_again_and_again, name="look for workers", daemon=True)

    def start(self) -> None:
        """Look every `LOOK_SECONDS`, on a thread of its own."""
        self._thread.start()

    def close(self) -> None:
        """End the thread. A look that runs ends within its time-outs."""
        self._stopped.set()

    def look(self) -> None:
        """Look once at the queue of every model. A queue that does not answer changes nothing."""
        for name in self._names:
            asked = self._clock()
            try:
                self._seen[name] = (self._queue.workers_alive(name), asked)
            except StoreUnavailable:
                continue
            except Exception:
                _log.exception("cannot count the workers of %s", name)

    def alive(self, queue: str) -> int | None:
        """Return the number of workers that are alive, or None if it is not known. It does not wait.

        A worker that was killed counts for 15 s more. If Redis has not answered for `KNOWN_SECONDS`, nothing is known.

        Args:
            queue: name of the model's queue.
        """
        count, asked = self._seen.get(queue, (0, None))
        return None if asked is None or self._clock() - asked > KNOWN_SECONDS else count

    def of(self, model: Model) -> int | None:
        """Return `alive` for the queue of a model."""
        return self.alive(queue_name(model.name, model.weights_digest))

    def masking(self, model: Model) -> int | None:
        """Return `alive` for the everything queue of a model: its mask workers."""
        return self.alive(everything_queue(model.name, model.weights_digest))

    def _look_again_and_again(self) -> None:
        while True:
            self.look()
            if self._stopped.wait(LOOK_SECONDS):
                return
