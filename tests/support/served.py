"""The API's own waitress around any WSGI application, on a real socket, in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prompt_api.access.policy import access_policy
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.serving.api_server import ApiServer
from prompt_api.serving.server import made_server, reserve
from shared.contract.settings import Settings
from tests.support.memory_store import MemoryStore

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


@dataclass
class Served:
    """A server that runs.

    Attributes:
        server: it.
        port: where it listens on 127.0.0.1.
    """

    server: ApiServer
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def connection(self, *, receive_buffer: int | None = None) -> Iterator[socket.socket]:
        """A connected socket. A small receive buffer makes the kernel hold little of what is not read."""
        with closing(socket.socket()) as sock:
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.settimeout(30)
            sock.connect(("127.0.0.1", self.port))
            yield sock

    def wait_for(self, connections: int) -> None:
        """Return once exactly so many connections are open, and fail after 30 s."""
        for _ in range(3000):
            if len(self.server.active_channels) == connections:
                return
            threading.Event().wait(0.01)
        raise AssertionError(f"{len(self.server.active_channels)} connections are open, not {connections}")


@contextmanager
def served(app: WSGIApplication, *, threads: int = 2, connections: int = 100) -> Iterator[Served]:
    """Serve `app` until the block ends."""
    settings = Settings(api_threads=threads, port=0)
    listener = reserve(settings)
    policy = access_policy(settings, sets=MemoryStore(), owners_ttl=60, client=None)
    server = made_server(app, listener, settings, policy=policy, metrics=ApiMetrics(), connections=connections)
    port = listener.getsockname()[1]
    thread = threading.Thread(target=server.run, name="serve")
    thread.start()
    try:
        yield Served(server, port)
    finally:
        server.stop()
        thread.join(20)
        assert not thread.is_alive()
        for channel in list(server.active_channels.values()):
            channel.handle_close()
        server.trigger.close()
