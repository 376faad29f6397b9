"""Looks names up with a bound on the wait. The system's resolver has none."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import BoundedSemaphore, Thread

MOST_LOOKUPS = 8
"""Most look-ups at once. One whose wait is over goes on in its thread until the resolver gives up."""

Lookup = Callable[[str], Sequence[str]]
"""Returns the addresses of a name, or raises `OSError`."""


def system_lookup(host: str) -> list[str]:
    """Return the addresses that the system's resolver knows for a name.

    Raises:
        OSError: it knows none.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError("the name cannot be looked up") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Names:
    """Looks names up. Thread-safe."""

    def __init__(self, lookup: Lookup = system_lookup) -> None:
        self._lookup = lookup
        self._slots = BoundedSemaphore(MOST_LOOKUPS)

    def addresses(self, host: str, seconds: float) -> Sequence[str]:
        """Return the addresses of a name.

        Args:
            seconds: longest wait.

        Raises:
            TimeoutError: the resolver does not answer in time.
            OSError: the name has no address.
        """
        until = time.monotonic() + seconds
        if not self._slots.acquire(timeout=seconds):
            raise TimeoutError
        answer: Future[Sequence[str]] = Future()
        try:
            Thread(target=self._look, args=(host, answer), name="look up a name", daemon=True).start()
        except RuntimeError as error:  # the process may have no more threads
            self._slots.release()
            raise OSError("no thread to look the name up") from error
        return answer.result(max(0.0, until - time.monotonic()))

    def _look(self, host: str, answer: Future[Sequence[str]]) -> None:
        try:
            answer.set_result(self._lookup(host))
        except Exception as error:
            answer.set_exception(error)
        finally:
            self._slots.release()
