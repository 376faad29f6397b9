"""Records the commands that a server receives."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.support.servers import Server

_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_LONGEST = 4096  # bytes: the beginning of an embedding is enough
_END = b"the end of the monitor"


class Monitor:
    """Records the commands that `server` receives, also from scripts, at little cost to the process's other threads."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._heard: list[bytes] = []
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self._socket.sendall(b"MONITOR\r\n")
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def stop(self) -> None:
        self.server.client.echo(_END)
        self._thread.join(20)
        self._socket.close()

    def commands(self) -> Iterator[list[str]]:
        """Yield the words of each command, with bytes escaped. A very long command is cut and ends with `...`."""
        for line in b"".join(self._heard).split(b"\r\n"):
            words = [word.decode() for word in _WORD.findall(line[:_LONGEST])]
            if words and _END.decode() not in words:
                yield words if len(line) <= _LONGEST else [*words, "..."]

    def _listen(self) -> None:
        end = b""
        while _END not in end:
            data = self._socket.recv(1 << 20)
            self._heard.append(data)
            end = end[-len(_END) :] + data


@contextmanager
def monitored(servers: Sequence[Server]) -> Iterator[list[Monitor]]:
    with ExitStack() as stack:
        monitors = [Monitor(server) for server in servers]
        for monitor in monitors:
            stack.callback(monitor.stop)
        yield monitors
