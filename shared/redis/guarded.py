"""Connections to Redis on which a request waits no longer than its allowance, and not at all if the server hangs.

redis-py has a time-out per read, so a value that arrives slowly, or many slow operations, may take any time. Here a
thread that has an allowance (see `shared.redis.allowance`) waits no longer than what is left of it. A wait that times
out trips the client's circuit breaker. For any other thread, these connections behave like redis-py's own.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection

from shared.redis import allowance
from shared.redis.breaker import CircuitBreaker
from shared.redis.replies import Checked

T = TypeVar("T")


class Guarded(Checked):
    """The behaviour that the three kinds of connection share. It is their first base class."""

    def __init__(self, *args: Any, breaker: CircuitBreaker, **options: Any) -> None:
        super().__init__(*args, **options)
        self._breaker = breaker

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        granted = allowance.current()
        if granted is not None:
            granted.begin_operation()
            self._breaker.check()
        super().send_packed_command(command, check_health)  # type: ignore[misc]  # the second base has it

    def _connect(self) -> Any:
        if allowance.current() is not None:
            self._breaker.check()
        timeout = self.socket_connect_timeout
        try:
            with _bounded(self._breaker, timeout) as bound:
                self.socket_connect_timeout = bound
                return GuardedSocket(super()._connect(), self._breaker)  # type: ignore[misc]  # the second base has it
        finally:
            self.socket_connect_timeout = timeout

    socket_connect_timeout: float | None


class GuardedConnection(Guarded, Connection):
    """A guarded connection over TCP."""


class GuardedTlsConnection(Guarded, SSLConnection):
    """A guarded connection over TLS."""


class GuardedUnixConnection(Guarded, UnixDomainSocketConnection):
    """A guarded connection over a Unix socket."""


ConnectionClass = type[GuardedConnection] | type[GuardedTlsConnection] | type[GuardedUnixConnection]

_KINDS: dict[str, ConnectionClass] = {"rediss": GuardedTlsConnection, "unix": GuardedUnixConnection}


def connection_class(url: str) -> ConnectionClass:
    """Return the guarded connection class for a Redis URL."""
    return _KINDS.get(url.partition(":")[0], GuardedConnection)


class GuardedSocket:
    """A socket whose blocking calls are bounded. Everything else goes to the real socket."""

    def __init__(self, sock: socket.socket, breaker: CircuitBreaker) -> None:
        self._sock = sock
        self._breaker = breaker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendall(self, data: bytes) -> None:
        with self._bounded():
            self._sock.sendall(data)

    def recv(self, size: int) -> bytes:
        return self._received(lambda: self._sock.recv(size))

    def recv_into(self, buffer: bytearray) -> int:
        """redis-py reads with this method if hiredis is installed."""
        return self._received(lambda: self._sock.recv_into(buffer))

    def _received(self, read: Callable[[], T]) -> T:
        if self._sock.gettimeout() == 0:  # a check for available data, which never waits
            return read()
        with self._bounded():
            data = read()
        self._breaker.close()
        return data

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        timeout = self._sock.gettimeout()
        with _bounded(self._breaker, timeout) as bound:
            self._sock.settimeout(bound)
            try:
                yield
            finally:
                self._sock.settimeout(timeout)


@contextmanager
def _bounded(breaker: CircuitBreaker, timeout: float | None) -> Iterator[float | None]:
    """Yield the time-out for one blocking call inside the block, and charge the call to the allowance.

    Raises:
        TimeoutError: nothing is left of the allowance.
    """
    granted = allowance.current()
    if granted is None:
        yield timeout
        return
    bound = granted.left if timeout is None else min(timeout, granted.left)
    if bound <= 0:
        raise TimeoutError("the request has waited for Redis as long as it may")
    began = time.monotonic()
    try:
        yield bound
    except OSError as error:
        # A failure after a long wait is a hang, whatever its type (a name server may hang too). A short wait that
        # timed out was cut off because the request had little time left. That says nothing about the server.
        if timeout is not None and time.monotonic() - began > timeout / 2:
            breaker.trip()
        elif not isinstance(error, TimeoutError):
            breaker.close()
        raise
    finally:
        granted.spend(time.monotonic() - began)
