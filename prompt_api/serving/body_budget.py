"""How many bytes of requests' bodies one process takes in at once.

A body lies in memory, or from half a megabyte in `/tmp`, from its first byte until its request is answered; a slow
client needs neither a thread nor a slot for it. So the sum of what has arrived is bounded here. What is only announced
takes nothing: else a few silent clients would keep the room for bodies that never come.
"""

from __future__ import annotations

from threading import Lock

from shared.contract.errors import Overloaded

MOST = 256 * 1024 * 1024
"""Bytes of all bodies together; more where a single one may be as large."""

SMALL = 64 * 1024
RESERVED = 32 * 1024 * 1024
"""Bytes that only bodies of `SMALL` at most may take: prompts go on while uploads fill the rest."""

RETRY_AFTER = 2.0


class BodyBudget:
    """What all requests of a process have taken together; safe for threads."""

    def __init__(self, largest: int) -> None:
        """Args:
        largest: bytes of the largest body that is ever taken. One always finds room where there is no other.
        """
        self._most = max(MOST, largest + RESERVED)
        self._taken = 0
        self._lock = Lock()

    @property
    def taken(self) -> int:
        """Bytes."""
        return self._taken

    def share(self) -> Share:
        """An empty share, for one request."""
        return Share(self)

    def has_room(self, size: int) -> bool:
        """Whether a whole body of `size` bytes would find room now."""
        return self._taken + size <= self._most_for(size)

    def resize(self, share: Share, size: int, announced: int = 0) -> bool:
        """Let `share` hold `size` bytes; False where that is more than before and there is no room."""
        with self._lock:
            taken = self._taken - share.held + size
            if size > share.held and taken > self._most_for(max(size, announced)):
                return False
            self._taken, share.held = taken, size
            return True

    def _most_for(self, size: int) -> int:
        return self._most - (RESERVED if size > SMALL else 0)


class Share:
    """What one request has taken.

    Attributes:
        held: bytes.
    """

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._announced = 0
        self.held = 0

    def announce(self, size: int) -> None:
        """Nothing is held yet.

        Raises:
            Overloaded: a body of `size` bytes would find no room now.
        """
        if not self._budget.has_room(size):
            raise _overloaded()
        self._announced = size

    def hold(self, size: int) -> None:
        """Have at least `size` bytes.

        Raises:
            Overloaded: so much is not left; the share is as it was.
        """
        if size > self.held and not self._budget.resize(self, size, self._announced):
            raise _overloaded()

    def release(self) -> None:
        """Give everything back; again does nothing."""
        self._budget.resize(self, 0)


def _overloaded() -> Overloaded:
    return Overloaded("too many request bodies at once", retry_after=RETRY_AFTER)
