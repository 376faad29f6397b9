"""Tells how far a running job is: stores the masks so far, and wakes those who follow it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from prompt_api.everything.interface import MasksSoFar
from prompt_api.everything.job.key import EverythingKey
from prompt_api.everything.job.stored import pack_masks
from shared.contract.errors import EverythingFailed, StoreUnavailable
from shared.contract.geometry import Size
from shared.events.interface import Events
from shared.store.interface import Store

INTERVAL = 1.0
"""Least seconds between two reports."""

_SHARE = 20
"""A report may take one part in so many of the job's time: a thousand large masks are packed less often."""

_TTL = 60
"""Seconds that a report is kept. A job that runs renews it before."""

_log = logging.getLogger(__name__)


class Progress:
    """A `Report` (see `prompt_api.everything.interface`) that stores what it is told, now and then."""

    def __init__(
        self,
        key: EverythingKey,
        original: Size,
        *,
        store: Store,
        events: Events,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        original: (height, width) of the EXIF-oriented original.
        store: one that fails at once when the cache is out of reach.
        """
        self._key = key
        self._original = original
        self._store = store
        self._events = events
        self._clock = clock
        self._next = 0.0

    def __call__(self, done: int, total: int, masks: MasksSoFar) -> None:
        began = self._clock()
        if began < self._next or total <= 0:
            return
        try:
            value = pack_masks(self._key, masks(), self._original, min(done, total), total)
            self._store.put(self._key.progress_key, value, _TTL)
        except (StoreUnavailable, EverythingFailed) as error:  # the job goes on; its end tells what matters
            _log.info("image %s: progress not told: %s", self._key.image_id[:12], error.detail)
        self._events.publish(self._key, "progress")
        ended = self._clock()
        self._next = ended + max(INTERVAL, _SHARE * (ended - began))
