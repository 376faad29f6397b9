"""The processes of the API. Each runs waitress, and all share one port.

waitress reads requests and writes answers in one asynchronous loop, and uses a thread only for a request that has
arrived completely. So fifty slow clients cost fifty buffers and no thread. (gunicorn's threaded worker gives each
connection a thread, so a handful of slow clients stops it.)
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from types import FrameType
from typing import Any

from flask import Flask
from waitress.server import create_server

from prompt_api.access.policy import AccessPolicy
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.metrics.processes import SharedFolder, shared_folder
from prompt_api.serving.body_budget import BodyBudget, largest_body
from prompt_api.serving.door import channel_class
from shared.contract.errors import ConfigurationError
from shared.contract.settings import Settings

BACKLOG = 1024
CONNECTIONS = 2000
"""Most open connections per process. Further ones wait in the backlog."""

MAX_HEADER_BYTES = 64 * 1024
"""Most bytes of a request line and its headers together. The limits of common proxies are lower."""

IDLE_TIMEOUT = 60
"""Seconds after which a silent connection is closed."""

STOP_SECONDS = 10.0
"""Seconds that the supervisor waits for its processes to end before it kills them."""

RESTART_PAUSE = 1.0

REFUSED = 2
"""Exit status of a process that must not start."""

_log = logging.getLogger(__name__)


def reserve(settings: Settings) -> socket.socket:
    """Return a socket bound to the settings' address. With several processes, it listens only from `serve` on.

    With several processes, each has its own socket on the same port, and the kernel spreads connections over the
    sockets that listen. (With one listening socket for all, one idle loop could take every connection: while its
    threads decode, it is always the first to accept.)

    Raises:
        ConfigurationError: another process has the address, or it is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if settings.api_processes > 1:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((settings.host, settings.port))
        if settings.api_processes == 1:
            listener.listen(BACKLOG)  # clients that connect while the decoder loads are served afterwards
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose another SAM_PORT or SAM_HOST"
        ) from None
    return listener


def serve(
    app: Flask, listener: socket.socket, settings: Settings, *, policy: AccessPolicy, metrics: ApiMetrics
) -> None:
    """Serve `app` until SIGTERM or SIGINT. Running requests then get five seconds to end.

    Args:
        policy: refuses requests without a valid token before their bodies are read.
        metrics: counts requests that never reach `app`.
    """
    proxies: dict[str, Any] = {}
    if settings.trusted_proxies:
        proxies = {
            "trusted_proxy": "*",
            "trusted_proxy_count": settings.trusted_proxies,
            "trusted_proxy_headers": {"x-forwarded-for"},
        }
    largest = largest_body(settings.max_upload_bytes)
    server = create_server(
        app,
        sockets=[listener],
        threads=settings.api_threads,
        max_request_body_size=largest,
        max_request_header_size=MAX_HEADER_BYTES,
        connection_limit=CONNECTIONS,
        channel_timeout=IDLE_TIMEOUT,
        backlog=BACKLOG,
        asyncore_use_poll=True,
        channel_request_lookahead=1,  # lets event streams notice that their client has left
        ident=None,
        **proxies,
    )
    server.channel_class = channel_class(policy, BodyBudget(largest), metrics.answered)
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    server.run()


def supervise(port: int, processes: int) -> None:
    """Run `processes` servers on `port` and replace those that die, until SIGTERM or SIGINT.

    They are new processes, not forks, because ONNX Runtime sessions do not survive a fork. Each has its own slot in
    the shared metrics.

    Raises:
        ConfigurationError: one of them refused to start. A replacement would refuse too.
    """
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    with shared_folder() as folder:
        _supervise(port, processes, folder)


def _supervise(port: int, processes: int, folder: SharedFolder) -> None:
    command = [sys.executable, "-m", "prompt_api", "--share-port", str(port), "--slot"]
    environ = {**os.environ, **folder.environ()}

    def start(slot: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*command, str(slot)], env=environ)  # noqa: S603 - our own command

    children: list[subprocess.Popen[bytes]] = []
    try:
        for slot in range(processes):
            children.append(start(slot))
        folder.record(child.pid for child in children)
        while True:
            time.sleep(RESTART_PAUSE)
            for slot, child in enumerate(children):
                if child.poll() is not None:
                    if child.returncode == REFUSED:
                        raise ConfigurationError("an API process refused to start; its own message says why")
                    _log.error("API process %d ended with status %d; starting another", child.pid, child.returncode)
                    folder.vacate(slot)
                    children[slot] = start(slot)
                    folder.record(child.pid for child in children)
    finally:
        for child in children:
            child.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for child in children:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
