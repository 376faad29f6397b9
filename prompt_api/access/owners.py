"""Who has uploaded which image.

All namespaces share the embedding of an image, because its id is the hash of its bytes. The image itself exists only
for the namespaces that uploaded these bytes in full.
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
"""One message for an image that nobody has and for one that only others have: a client cannot tell them apart."""

RECHECK = 60.0
"""Seconds after which a known owner is looked up again. A deletion whose event was lost is noticed then."""

OUTAGE_RECHECK = 5.0
"""The same while Redis does not answer. Until then its last answer is used, so that few requests wait for Redis."""

CAPACITY = 10_000
"""Pairs of image and namespace that one process remembers."""


class Owners(Protocol):
    """Which namespaces have which images."""

    def add(self, image_id: str, namespace: str) -> None:
        """Record that `namespace` has uploaded the image."""
        ...

    def require(self, image_id: str, namespace: str) -> None:
        """Return if `namespace` has the image.

        Raises:
            ImageNotFound: the namespace does not have the image.
        """
        ...

    def release(self, image_id: str, namespace: str) -> bool:
        """Take the image from `namespace` and return True, if others still have it.

        Otherwise, return False and keep `namespace` as an owner. The caller then deletes the image, which may fail and
        be tried again, and calls `remove` last.
        """
        ...

    def remove(self, image_id: str, namespace: str) -> None:
        """Record that `namespace` no longer has the image."""
        ...

    def forget(self, image_id: str) -> None:
        """Have the image looked up again for every namespace: its owners changed."""
        ...

    def doubt(self) -> None:
        """Have every image looked up again before its next use: the event of a change may have been missed."""
        ...


class Everyone:
    """`Owners` of a service without tokens: there is one namespace, which has every image and needs no records."""

    def add(self, image_id: str, namespace: str) -> None: ...

    def require(self, image_id: str, namespace: str) -> None: ...

    def release(self, image_id: str, namespace: str) -> bool:  # noqa: ARG002 - the Protocol has it
        return False

    def remove(self, image_id: str, namespace: str) -> None: ...

    def forget(self, image_id: str) -> None: ...

    def doubt(self) -> None: ...


class RecordedOwners:
    """`Owners` kept as sets in the store. This process remembers known owners for a while. Safe for threads.

    It never remembers that a namespace does not have an image, so an upload to any replica counts at once.
    """

    def __init__(self, *, sets: Sets, ttl: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Args:
        ttl: seconds for which a set is kept after the last upload.
        """
        self._sets = sets
        self._ttl = ttl
        self._clock = clock
        self._lock = Lock()
        self._known: OrderedDict[tuple[str, str], float] = OrderedDict()  # values: the time of the next look
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
        # The entries stay, because in an outage the last answer is used.
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
