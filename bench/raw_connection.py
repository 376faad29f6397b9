"""An HTTP/1.1 connection that costs little, because clients take processor time from the service beside them."""

from __future__ import annotations

import socket
from dataclasses import dataclass

_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer. `head` has its status line and headers, as they came."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: bytes) -> bytes:
        """The value of the header with this lower-case name; empty if the answer does not have it."""
        _, _, rest = self.head.lower().partition(b"\r\n" + name + b":")
        return rest.partition(b"\r\n")[0].strip()


class RawConnection:
    """A connection to `host:port` that stays open between requests."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=_TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, request: bytes) -> RawAnswer:
        """Send a request with its head and body, and read the answer.

        Raises:
            OSError: the connection broke, or nothing came for 60 s.
        """
        self._socket.sendall(request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, body = data.partition(b"\r\n\r\n")
        answer = RawAnswer(int(head[9:12]), head, b"")
        parts = [body]
        left = int(answer.header(b"content-length")) - len(body)
        while left > 0:
            parts.append(self._receive())
            left -= len(parts[-1])
        return RawAnswer(answer.status, head, b"".join(parts))

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bytes:
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionError("the connection was closed")
        return data
