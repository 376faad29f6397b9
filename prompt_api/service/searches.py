"""The searches for similar objects that one process has under way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

from prompt_api.access.owners import UNKNOWN
from prompt_api.similar.interface import MAX_LIMIT
from shared.contract.errors import ImageNotFound, Overloaded

SEARCHES = 4
"""Searches that one process has under way at once, and half of it of one client."""

MOST_MASKS = MAX_LIMIT
"""The `limit`s of all searches under way together. Each mask that is found takes 256 KiB until its search ends."""


@dataclass(slots=True, eq=False)
class Underway:
    """A search that is running.

    Attributes:
        images: the image that is searched, and those of its examples.
        gone: whether one of them was deleted meanwhile.
    """

    images: frozenset[str]
    gone: bool = False

    def require(self) -> None:
        """Return if all images of the search are still there.

        Raises:
            ImageNotFound: one was deleted.
        """
        if self.gone:
            raise ImageNotFound(UNKNOWN)


class Searches:
    """Safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._underway: set[Underway] = set()
        self._taken: Counter[str] = Counter()
        self._masks = 0

    @contextmanager
    def watched(self, images: frozenset[str]) -> Iterator[Underway]:
        """Give the block what tells it that one of the images is deleted."""
        underway = Underway(images)
        with self._lock:
            self._underway.add(underway)
        try:
            yield underway
        finally:
            with self._lock:
                self._underway.discard(underway)

    def end_with(self, image_id: str) -> None:
        """Have all searches end that use an image: it was deleted."""
        with self._lock:
            for one in self._underway:
                one.gone = one.gone or image_id in one.images

    @contextmanager
    def room(self, client: str, limit: int) -> Iterator[None]:
        """Let the block hold the masks of a search.

        Args:
            limit: the most masks that it finds.

        Raises:
            Overloaded: too many searches of this client, or of all clients, hold theirs.
        """
        with self._lock:
            many = self._taken.total() >= SEARCHES or self._taken[client] >= SEARCHES // 2
            if many or self._masks + limit > MOST_MASKS:
                raise Overloaded("too many searches for similar objects at once; send fewer", retry_after=1)
            self._taken[client] += 1
            self._masks += limit
        try:
            yield
        finally:
            with self._lock:
                self._masks -= limit
                self._taken[client] -= 1
                if not self._taken[client]:
                    del self._taken[client]
