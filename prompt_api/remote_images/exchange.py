"""One HTTP exchange under one deadline, however slowly the other side sends.

A socket's time-out only limits the wait for the next byte. `http.client` reads the head of an answer byte by byte
through it, so a server that sends a byte every few seconds would never be given up.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from http.client import HTTPConnection, HTTPResponse
from typing import Any

from shared.contract.errors import ImageTooLarge, ImageUnreachable

CHUNK = 256 * 1024

LOOK_SECONDS = 0.25
"""Seconds between two checks whether the exchange may go on, while nothing arrives."""


def read_body(answer: HTTPResponse, most: int, sender: str) -> bytes:
    """Return the body of an answer.

    Args:
        most: most bytes of the body.
        sender: who sends it, for error messages.

    Raises:
        ImageTooLarge: it has more than `most` bytes.
        ImageUnreachable: it is compressed, or ends too early.
        TimeoutError, OSError, HTTPException: it does not come.
    """
    # A compressed body could unpack to any size.
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise ImageUnreachable(f"{sender} sent a compressed answer, which was not requested")
    received = bytearray()
    while chunk := answer.read1(CHUNK):
        received += chunk
        if len(received) > most:
            raise ImageTooLarge(f"the image has more than {most} bytes", max_bytes=most)
    if answer.length:
        raise ImageUnreachable(f"{sender} stopped in the middle of the image")
    return bytes(received)


class Limits:
    """What ends an exchange early.

    Attributes:
        idle: longest wait for a connection or for the next bytes, in seconds.
    """

    def __init__(
        self,
        deadline: float,
        idle: float,
        *,
        may_go_on: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        deadline: when all ends, in seconds of `clock`.
        may_go_on: asked several times a second; it raises an error to end the exchange.
        """
        self.idle = idle
        self._deadline = deadline
        self._may_go_on = may_go_on
        self._clock = clock

    def left(self) -> float:
        """Return the seconds until the deadline, at most `idle`.

        Raises:
            TimeoutError: the deadline is over.
        """
        self._may_go_on()
        left = self._deadline - self._clock()
        if left <= 0:
            raise TimeoutError
        return min(left, self.idle)


class LimitedConnection(HTTPConnection):
    """An HTTP connection on which connecting, sending and reading obey `limits`.

    A host name may have many addresses: all of them together get one wait. Only the name server is waited for as long
    as the system does, unless `addresses` is given.
    """

    def __init__(
        self,
        host: str,
        port: int | None,
        limits: Limits,
        tls: ssl.SSLContext | None = None,
        *,
        addresses: Callable[[], Sequence[str]] | None = None,
    ) -> None:
        """Args:
        tls: speaks TLS with these settings; None does not.
        addresses: returns the addresses of `host`, and is called once for each connection. The connection goes to one
            of them, whatever the system's resolver says. None asks that resolver.
        """
        if tls is not None:
            self.default_port = 443
        super().__init__(host, port)
        self._limits = limits
        self._tls = tls
        self._addresses = addresses

    def connect(self) -> None:
        self.sock = _LimitedSocket(self._connected(), self._limits)

    def _connected(self) -> socket.socket:
        targets = list(self._targets())
        until = time.monotonic() + self._limits.left()
        failure: OSError = OSError("the name has no address")
        for family, kind, protocol, _, address in targets:
            plain = socket.socket(family, kind, protocol)
            try:
                plain.settimeout(max(0.001, until - time.monotonic()))
                plain.connect(address)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls is None:
                    return plain
                plain.settimeout(max(0.001, until - time.monotonic()))
                return self._tls.wrap_socket(plain, server_hostname=self.host)
            except OSError as error:
                plain.close()
                failure = error
                if time.monotonic() >= until:
                    break
        raise failure

    def _targets(self) -> Iterator[tuple[int, int, int, str, Any]]:
        """Yield what `socket.getaddrinfo` returns for each address."""
        if self._addresses is None:
            yield from socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            return
        for address in self._addresses():
            yield from socket.getaddrinfo(
                address, self.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            )


class _LimitedSocket:
    """What `HTTPConnection` needs of a socket."""

    def __init__(self, wrapped: socket.socket, limits: Limits) -> None:
        self._wrapped = wrapped
        self._limits = limits

    def getpeername(self) -> Any:
        return self._wrapped.getpeername()

    def sendall(self, data: Any) -> None:
        self._wrapped.settimeout(self._limits.left())  # it limits the whole of `sendall`
        self._wrapped.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        assert mode == "rb"
        # The socket stays open until both this object and the file are closed.
        return io.BufferedReader(_LimitedReader(self._wrapped, self._wrapped.makefile("rb", buffering=0), self._limits))

    def close(self) -> None:
        self._wrapped.close()


class _LimitedReader(io.RawIOBase):
    def __init__(self, wrapped: socket.socket, hold: io.RawIOBase, limits: Limits) -> None:
        self._wrapped = wrapped
        self._hold = hold
        self._limits = limits

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        silent_until = time.monotonic() + self._limits.left()
        while True:
            self._wrapped.settimeout(min(LOOK_SECONDS, self._limits.left()))
            try:
                return self._wrapped.recv_into(buffer)
            except TimeoutError:
                if time.monotonic() >= silent_until:
                    raise

    def close(self) -> None:
        self._hold.close()
        super().close()
