"""Limits the bytes of request bodies that one process holds at once.

A body is kept from its first byte until its request is answered: in memory, or in `/tmp` if it is larger than half a
megabyte. A slow client occupies no thread and no slot meanwhile, so only this limit bounds the sum of all bodies.
Only bytes that have arrived count. Otherwise a few silent clients could reserve the room for bodies that never come.
"""

from __future__ import annotations

from threading import Lock

from prompt_api.wire.limits import MAX_PROMPT_BODY
from shared.contract.errors import Overloaded

MOST = 256 * 1024 * 1024
"""Most bytes of all bodies together. It is more if a single body may be as large."""

SMALL = 64 * 1024
RESERVED = 32 * 1024 * 1024
"""Bytes reserved for bodies of at most `SMALL` bytes, so that prompts still work when uploads fill the rest."""

RETRY_AFTER = 2.0


def largest_body(max_upload_bytes: int) -> int:
    """Return the bytes of the largest body that is read.

    The application refuses bodies that are a little too large for it. Larger ones are refused unread.
    """
    return max(max_upload_bytes, MAX_PROMPT_BODY) + 1024 * 1024


def most_bodies(largest: int) -> int:
    """Return the bytes that all bodies together may have. `largest` is that of one body."""
    return max(MOST, largest + RESERVED)


class BodyBudget:
    """The bytes that all requests of a process hold together. Thread-safe."""

    def __init__(self, largest: int) -> None:
        """Args:
        largest: bytes of the largest body that is accepted. One such body always fits if there is no other body.
        """
        self._most = most_bodies(largest)
        self._taken = 0
        self._lock = Lock()

    @property
    def taken(self) -> int:
        """Bytes held now."""
        return self._taken

    def share(self) -> Share:
        """Return an empty share for one request."""
        return Share(self)

    def has_room(self, size: int) -> bool:
        """Return whether a whole body of `size` bytes would fit now."""
        return self._taken + size <= self._most_for(size)

    def resize(self, share: Share, size: int, announced: int = 0) -> bool:
        """Change `share` to `size` bytes. Return False, and change nothing, if it must grow and there is no room.

        Args:
            announced: declared bytes of the whole body. A body larger than `SMALL` may not use the reserved room.
        """
        with self._lock:
            taken = self._taken - share.held + size
            if size > share.held and taken > self._most_for(max(size, announced)):
                return False
            self._taken, share.held = taken, size
            return True

    def _most_for(self, size: int) -> int:
        return self._most - (RESERVED if size > SMALL else 0)


class Share:
    """The bytes that one request holds.

    Attributes:
        held: bytes held now.
    """

    def __init__(self, budget: BodyBudget) -> None:
        self._budget = budget
        self._announced = 0
        self.held = 0

    def announce(self, size: int) -> None:
        """Note the declared size of the body. This holds no bytes yet.

        Raises:
            Overloaded: a body of `size` bytes would not fit now.
        """
        if not self._budget.has_room(size):
            raise _overloaded()
        self._announced = size

    def hold(self, size: int) -> None:
        """Make the share hold at least `size` bytes.

        Raises:
            Overloaded: there is no room for them; the share is unchanged.
        """
        if size > self.held and not self._budget.resize(self, size, self._announced):
            raise _overloaded()

    def release(self) -> None:
        """Give all bytes back. A second call does nothing."""
        self._budget.resize(self, 0)


def _overloaded() -> Overloaded:
    return Overloaded("too many request bodies at once", retry_after=RETRY_AFTER)
