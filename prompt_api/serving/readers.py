"""Bounds the time that a client may take to read its answer.

A client that stops reading holds the memory of its answer, and it may hold a thread. So a client must take a minimum
of bytes in every span of time, or its connection is cut. What counts is what has reached the client's machine, not what
the kernel has taken from this process: its buffers hold megabytes, so they can hide a slow client for minutes.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from dataclasses import dataclass

SECONDS = 20.0
LEAST_BYTES = 64 * 1024
"""A client must take this many bytes of its answer, or all that is ready, within `SECONDS`. That is 3.2 kB/s."""

_LINGER_NOT = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Mark:
    """How far the client was at some time.

    Attributes:
        at: the time, in seconds.
        taken: bytes that had reached the client.
        waiting: bytes of the answer that the kernel had not taken yet.
    """

    at: float
    taken: int
    waiting: int

    def passed(self, taken: int) -> bool:
        """Return whether the client has read enough since then for another span of time."""
        return taken - self.taken >= min(LEAST_BYTES, self.waiting)

    def overdue(self, now: float) -> bool:
        return now - self.at > SECONDS


def on_the_way(sock: socket.socket) -> int:
    """Return the bytes that the kernel has taken and the client's machine has not acknowledged."""
    try:
        (count,) = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))
    except OSError:
        return 0
    return int(count)


def drop_unsent(sock: socket.socket) -> None:
    """Make the kernel drop what it has not sent when `sock` is closed. It would keep it for minutes otherwise."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
