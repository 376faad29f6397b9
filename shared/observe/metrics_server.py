"""Serves a worker's `/metrics` and nothing else, in a thread of its own, also while a job runs.

What makes the text of the metrics is given: `shared` does not know prometheus_client.
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from shared.contract.errors import ConfigurationError

PORTS = 16
"""Ports that are tried, upwards from the one that is set. So several workers on one host can have the same settings."""

CLIENT_TIMEOUT = 2.0
"""Seconds a client may keep the server waiting. There is one thread, so the next client waits as well."""

_PAUSE = 1.0
"""Seconds before the server goes on after an error of its own."""

_log = logging.getLogger(__name__)

_Start = Callable[..., Any]
Application = Callable[[dict[str, Any], _Start], Iterable[bytes]]
"""A WSGI application."""


@contextmanager
def metrics_server(application: Application, host: str, port: int) -> Iterator[int | None]:
    """Serve while the block runs, on the first free port from `port` on, which the block is given.

    With port 0 nothing is served.

    Args:
        application: answers a scrape.

    Raises:
        ConfigurationError: this machine has no such address, or all `PORTS` ports are taken.
    """
    if port == 0:
        yield None
        return
    server = _listening(host, port)
    server.set_app(_only_metrics(application))
    stopped = threading.Event()
    thread = threading.Thread(target=_serve, args=(server, stopped), name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _serve(server: WSGIServer, stopped: threading.Event) -> None:
    """Serve until the server is shut down. `serve_forever` survives the errors of requests, but not its own."""
    while True:  # `shutdown` waits until `serve_forever` has been called at least once
        try:
            server.serve_forever()
        except Exception:
            _log.exception("metrics: serving again in %g s", _PAUSE)
            if stopped.wait(_PAUSE):
                return
        else:
            return


def _listening(host: str, port: int) -> WSGIServer:
    for candidate in range(port, min(port + PORTS, 65_536)):
        try:
            return _Server((host, candidate), _Handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ConfigurationError(
                    f"cannot serve metrics on {host}:{candidate}: {error.strerror}; choose another "
                    "SAM_WORKER_METRICS_HOST or SAM_WORKER_METRICS_PORT"
                ) from None
    raise ConfigurationError(
        f"cannot serve metrics on {host}: SAM_WORKER_METRICS_PORT={port} and those after it are taken; choose another"
    )


class _Server(WSGIServer):
    # On some systems a port in use could otherwise be bound a second time.
    allow_reuse_port = False

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - as the base has it
        _log.warning("metrics: a request failed", exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_TIMEOUT

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the base has it
        """Log nothing: a scrape is no news."""


def _only_metrics(application: Application) -> Any:
    def answer(environ: dict[str, Any], start_response: _Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            return application(environ, start_response)
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"only /metrics is here\n"]

    return answer
