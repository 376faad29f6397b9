"""Turns to decode: a few at a time, shared fairly between clients.

Clients are served in rotation, however many requests each of them has waiting. The requests of one client are served in
the order of their arrival. A request with many prompts gives way between two of them.

A request keeps its thread while it waits for a turn. So requests with many prompts may occupy only some of the threads,
and those of one client only half of these. Further ones are refused at once.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock

from shared.contract.errors import Overloaded
from shared.observe.stages import Stages

FIRST_WAIT = 5.0
"""Seconds a request waits for its first turn before it is refused."""

NEXT_WAIT = 30.0
"""Seconds a request waits to go on after it gave way. It is longer, because the work that is done would be lost."""

FEW = 4
"""A request with at most so many prompts is never refused for the number of its prompts."""

RETRY_AFTER = 1.0


class Turns:
    """Hands out turns. Thread-safe."""

    def __init__(self, concurrency: int, *, large: int) -> None:
        """Args:
        concurrency: turns at the same time.
        large: most requests with more than `FEW` prompts at the same time, waiting ones included. A client that has
            none yet may have one beyond this, until there are half as many again.
        """
        self._lock = Lock()
        self._free = concurrency
        self._waiting: OrderedDict[str, deque[Event]] = OrderedDict()
        self._large: Counter[str] = Counter()
        self._most_large = large

    @contextmanager
    def turn(self, client: str, prompts: int, timings: Stages) -> Iterator[Turn]:
        """Hold a turn for a request of `client` with `prompts` prompts.

        Raises:
            Overloaded: no turn was free in time, or too many large requests are under way.
        """
        with self._admitted(client, large=prompts > FEW):
            turn = Turn(self, client, timings)
            turn.begin(FIRST_WAIT)
            try:
                yield turn
            finally:
                turn.end()

    @property
    def wanted(self) -> bool:
        """True if a request waits for a turn."""
        return bool(self._waiting)

    @property
    def waiting(self) -> int:
        """Requests that wait for a turn."""
        with self._lock:
            return sum(map(len, self._waiting.values()))

    def take(self, client: str, timeout: float) -> bool:
        """Wait at most `timeout` seconds for a turn. Return False if there was none."""
        with self._lock:
            if self._free:  # then nobody waits
                self._free -= 1
                return True
            granted = Event()
            self._waiting.setdefault(client, deque()).append(granted)
        if granted.wait(timeout):
            return True
        with self._lock:
            if granted.is_set():
                return True
            line = self._waiting[client]
            line.remove(granted)
            if not line:
                del self._waiting[client]
            return False

    def give_back(self) -> None:
        """End a turn. It goes to the client that is next in the rotation."""
        with self._lock:
            if not self._waiting:
                self._free += 1
                return
            client, line = self._waiting.popitem(last=False)
            granted = line.popleft()
            if line:
                self._waiting[client] = line  # at the end of the rotation
            granted.set()

    @contextmanager
    def _admitted(self, client: str, *, large: bool) -> Iterator[None]:
        if not large:
            yield
            return
        with self._lock:
            own, total = self._large[client], self._large.total()
            most = self._most_large if own else self._most_large + self._most_large // 2
            if total >= most or (own and own >= self._most_large // 2):
                raise Overloaded(
                    f"too many requests with more than {FEW} prompts at once; send fewer at once",
                    retry_after=RETRY_AFTER,
                )
            self._large[client] += 1
        try:
            yield
        finally:
            with self._lock:
                self._large[client] -= 1
                if not self._large[client]:
                    del self._large[client]


class Turn:
    """The turn of one request."""

    def __init__(self, turns: Turns, client: str, timings: Stages) -> None:
        self._turns = turns
        self._client = client
        self._timings = timings
        self._held = False
        self._began = 0.0
        self._before = 0.0

    @property
    def seconds(self) -> float:
        """Seconds for which the turn was held so far, without the time in which it was given away."""
        return self._before + (time.monotonic() - self._began if self._held else 0.0)

    def begin(self, timeout: float) -> None:
        """Wait for the turn.

        Raises:
            Overloaded: there was none within `timeout` seconds.
        """
        with self._timings.stage("turn"):
            self._held = self._turns.take(self._client, timeout)
        if not self._held:
            raise Overloaded("too many prompts are being decoded", retry_after=RETRY_AFTER)
        self._began = time.monotonic()

    def give_way(self) -> None:
        """Let another request go first if one waits. Call this outside of any stage.

        Raises:
            Overloaded: the turn did not come back within `NEXT_WAIT` seconds.
        """
        if self._turns.wanted:
            self.end()
            self.begin(NEXT_WAIT)

    def end(self) -> None:
        """Give the turn back. A second call does nothing."""
        if self._held:
            self._before = self.seconds
            self._held = False
            self._turns.give_back()
