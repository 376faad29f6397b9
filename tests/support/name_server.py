"""A DNS server for one name. It answers with the addresses it is given, like a container platform's DNS server."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import threading
from types import TracebackType
from typing import Self

_A, _IN = 1, 1


class NameServer:
    """Answers A queries over UDP on loopback with `addresses`, which may change at any time; a context manager."""

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._answer, name="name server", daemon=True)

    @property
    def address(self) -> str:
        """`host:port`."""
        host, port = self._socket.getsockname()
        return f"{host}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):  # raised for a socket that is not connected, but it still wakes the reader
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5.0)

    def _answer(self) -> None:
        while True:
            try:
                message, client = self._socket.recvfrom(4096)
                if not message:
                    return
                self._socket.sendto(response(message, self.addresses), client)
            except OSError:
                return


def response(query: bytes, addresses: tuple[str, ...]) -> bytes:
    """Return the answer to `query` (RFC 1035): the question and an A record per address; no record for another type."""
    identifier, _, _, _, _, _ = struct.unpack("!6H", query[:12])
    end = 12
    while query[end]:
        end += query[end] + 1
    question = query[12 : end + 5]
    (kind,) = struct.unpack("!H", query[end + 1 : end + 3])
    records = addresses if kind == _A else ()
    header = struct.pack("!6H", identifier, 0x8580, 1, len(records), 0, 0)
    name = 0xC000 | 12  # a pointer to the name in the question
    answers = [
        struct.pack("!3HIH4s", name, _A, _IN, 0, 4, ipaddress.IPv4Address(address).packed) for address in records
    ]
    return header + question + b"".join(answers)
