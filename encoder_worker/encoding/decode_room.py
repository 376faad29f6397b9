"""Limits the bytes that images take while they are decoded at the same time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class DecodeRoom:
    """Room for images that are decoded at the same time. Thread-safe.

    Images get their room in the order in which they asked, so many small ones cannot keep a large one waiting.
    """

    def __init__(self, most: int) -> None:
        """Args:
        most: bytes that all images together may take. An image that takes more is decoded alone.
        """
        self._most = most
        self._taken = 0
        self._line: deque[object] = deque()
        self._changed = Condition()

    @contextmanager
    def held(self, size: int) -> Iterator[None]:
        """Wait until there is room for `size` bytes, and hold it."""
        ticket = object()
        with self._changed:
            self._line.append(ticket)
            try:
                self._changed.wait_for(lambda: self._line[0] is ticket and self._fits(size))
                self._taken += size
            finally:
                self._line.remove(ticket)
                self._changed.notify_all()  # there may be room for the next one too
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()

    @property
    def waiting(self) -> int:
        """Images that wait for room."""
        return len(self._line)

    def _fits(self, size: int) -> bool:
        return not self._taken or self._taken + size <= self._most
