"""Turns for fetching: few images at once, and slow ones give way to those who wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition

from shared.contract.errors import Overloaded

QUICK_SECONDS = 3.0
"""Seconds after which a fetch counts as slow. It is less than a fetch waits for its turn."""


class FetchTurns:
    """At most `most` fetches at once. While others wait, at most half of these may be slow ones; further ones end.

    So images that come slowly never stop the fetching of others, and large images on a slow line still arrive.
    Thread-safe.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._free = most
        self._most_slow = most // 2
        self._clock = clock
        self._changed = Condition()
        self._waiting = 0
        self._slow: set[Turn] = set()

    @contextmanager
    def take(self, seconds: float, more_wait: Callable[[], bool] = lambda: False) -> Iterator[Turn]:
        """Hold a turn inside the block.

        Args:
            seconds: longest wait for it.
            more_wait: whether others wait who have not asked for a turn yet.

        Raises:
            Overloaded: none was free in time.
        """
        with self._changed:
            self._waiting += 1
            try:
                if not self._changed.wait_for(lambda: self._free > 0, seconds):
                    raise Overloaded("too many images are being fetched", retry_after=2)
                self._free -= 1
            finally:
                self._waiting -= 1
        turn = Turn(self, self._clock() + QUICK_SECONDS, more_wait)
        try:
            yield turn
        finally:
            with self._changed:
                self._slow.discard(turn)
                self._free += 1
                self._changed.notify()

    def may_go_on(self, turn: Turn) -> bool:
        """Return whether the fetch of `turn` may go on. See `Turn.check`."""
        if self._clock() < turn.quick_until:
            return True
        with self._changed:
            if turn in self._slow or not (self._waiting or turn.more_wait()):
                return True
            if len(self._slow) >= self._most_slow:
                return False
            self._slow.add(turn)
            return True


class Turn:
    """The turn of one fetch.

    Attributes:
        quick_until: monotonic time in seconds from which the fetch counts as slow.
        more_wait: whether others wait who have not asked for a turn yet.
    """

    def __init__(self, turns: FetchTurns, quick_until: float, more_wait: Callable[[], bool]) -> None:
        self._turns = turns
        self.quick_until = quick_until
        self.more_wait = more_wait

    def check(self) -> None:
        """Return if the fetch may go on. The fetch asks several times a second.

        Raises:
            Overloaded: it is slow, others wait, and enough slow ones go on already.
        """
        if not self._turns.may_go_on(self):
            raise Overloaded("the image comes too slowly while others wait to be fetched", retry_after=2)
