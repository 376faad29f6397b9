"""Who has uploaded which image.

The embedding of an image is shared, for its id is the hash of its bytes. The image itself exists only for those
namespaces of which somebody uploaded these bytes in full.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Protocol

from shared.contract.errors import ImageNotFound, StoreUnavailable
from shared.contract.keys import owners_key
from shared.store.interface import Sets

UNKNOWN = "no image of this id was uploaded, or it was deleted or forgotten"
"""Said of an image that nobody has and of one that others have, in the same words."""

RECHECK = 60.0
"""Seconds after which a known owner is looked up again: how long a deletion can go unnoticed if its event was lost."""

OUTAGE_RECHECK = 5.0
"""The same while Redis does not answer and the last answer stands, so that few requests wait for it in vain."""

CAPACITY = 10_000
"""Pairs of image and namespace that one process remembers."""


class Owners(Protocol):
    """Which namespaces have which images."""

    def add(self, image_id: str, namespace: str) -> None:
        """`namespace` has uploaded the image."""
        ...

    def require(self, image_id: str, namespace: str) -> None:
        """Return if `namespace` has the image.

        Raises:
            ImageNotFound: it has not.
        """
        ...

    def release(self, image_id: str, namespace: str) -> bool:
        """`namespace` no longer wants the image: True if others still do. False leaves it an owner, so that
        whoever removes the image may fail and try again; `remove` comes last.
        """
        ...

    def remove(self, image_id: str, namespace: str) -> None:
        """`namespace` has the image no more."""
        ...

    def forget(self, image_id: str) -> None:
        """Look it up again, for every namespace: something changed."""
        ...

    def doubt(self) -> None:
        """Look everything up again before it is relied on: something may have changed unheard."""
        ...


class Everyone:
    """`Owners` of a service without tokens: one namespace, which has everything and needs no records."""

    def add(self, image_id: str, namespace: str) -> None: ...

    def require(self, image_id: str, namespace: str) -> None: ...

    def release(self, image_id: str, namespace: str) -> bool:  # noqa: ARG002 - as the Protocol has it
        return False

    def remove(self, image_id: str, namespace: str) -> None: ...

    def forget(self, image_id: str) -> None: ...

    def doubt(self) -> None: ...


class RecordedOwners:
    """`Owners` as sets in the store; those who have an image are remembered here for a while. Safe for threads.

    Only that somebody has an image is remembered, never that he has not: an upload to any replica counts at once.
    """

    def __init__(self, *, sets: Sets, ttl: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
        ttl: seconds that a set is kept after the last upload.
        """
        self._sets = sets
        self._ttl = ttl
        self._clock = clock
        self._lock = Lock()
        self._known: OrderedDict[tuple[str, str], float] = OrderedDict()  # to the time of the next look
        self._changes = 0

    def add(self, image_id: str, namespace: str) -> None:
        changes = self._changes
        self._sets.add_member(owners_key(image_id), namespace, self._ttl)
        self._remember(image_id, namespace, RECHECK, changes)

    def require(self, image_id: str, namespace: str) -> None:
        with self._lock:
            due = self._known.get((image_id, namespace))
            changes = self._changes
        if due is not None and self._clock() < due:
            return
        try:
            owned = namespace in self._sets.members(owners_key(image_id))
        except StoreUnavailable:
            if due is None:
                raise
            self._remember(image_id, namespace, OUTAGE_RECHECK, changes)
            return
        if not owned:
            self._drop(image_id, namespace)
            raise ImageNotFound(UNKNOWN)
        self._remember(image_id, namespace, RECHECK, changes)

    def release(self, image_id: str, namespace: str) -> bool:
        key = owners_key(image_id)
        if self._sets.members(key) <= {namespace}:
            return False
        left = self._sets.remove_member(key, namespace)
        self._drop(image_id, namespace)
        return left > 0

    def remove(self, image_id: str, namespace: str) -> None:
        self._sets.remove_member(owners_key(image_id), namespace)
        self._drop(image_id, namespace)

    def forget(self, image_id: str) -> None:
        with self._lock:
            self._changes += 1
            for pair in [pair for pair in self._known if pair[0] == image_id]:
                del self._known[pair]

    def doubt(self) -> None:
        # What is in doubt stays: in an outage the last answer stands.
        with self._lock:
            self._changes += 1
            self._known = OrderedDict.fromkeys(self._known, -math.inf)

    def _remember(self, image_id: str, namespace: str, seconds: float, changes: int) -> None:
        with self._lock:
            if changes != self._changes:
                return  # what was read may be older than the change
            self._known[image_id, namespace] = self._clock() + seconds
            self._known.move_to_end((image_id, namespace))
            while len(self._known) > CAPACITY:
                self._known.popitem(last=False)

    def _drop(self, image_id: str, namespace: str) -> None:
        with self._lock:
            self._changes += 1
            self._known.pop((image_id, namespace), None)
