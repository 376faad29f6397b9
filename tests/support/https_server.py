"""HTTPS servers on this machine under any name, with an authority that signs for them."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trustme

Answer = tuple[int, dict[str, str], Iterable[bytes]]
"""Status, headers, and the body in pieces. Without a `Content-Length`, the connection is closed at the end."""

Asked = list[tuple[str, str]]
"""(`Host` header, path and query) of each request."""


class Authority:
    """Signs certificates.

    Attributes:
        context: what a client uses that trusts this authority.
    """

    def __init__(self) -> None:
        self._authority = trustme.CA()
        self.context = ssl.create_default_context()
        self._authority.configure_trust(self.context)

    def server_context(self, *names: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*names).configure_cert(context)
        return context


@contextmanager
def serving(
    answer: Callable[[str, str], Answer], tls: ssl.SSLContext | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> Iterator[tuple[int, Asked]]:
    """Run a server that answers with `answer(host, path)`. Yields its port and the requests that it received."""
    asked: Asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.headers["Host"], self.path))
            status, headers, pieces = answer(*asked[-1])
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                for piece in pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()
            except OSError:
                pass  # the client has gone
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def finish_request(self, request: object, client_address: object) -> None:
            if tls is None:
                super().finish_request(request, client_address)  # type: ignore[arg-type]
                return
            try:
                connection = tls.wrap_socket(request, server_side=True)  # type: ignore[arg-type]
            except OSError:  # the client does not trust us, or has gone
                return
            with connection:
                super().finish_request(connection, client_address)

        def handle_error(self, *_: object) -> None:
            """Say nothing: a client that goes is a part of many tests."""

    with Server((host, port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()
