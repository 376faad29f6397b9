"""The API's processes: waitress in each, one port for all.

waitress reads requests and writes answers in one asynchronous loop and lends a thread only to a request
that has arrived whole: fifty slow clients cost fifty buffers and no thread. (gunicorn's threaded worker
gives each connection its thread, and a handful of slow clients stops it.)
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
from prompt_api.serving.body_budget import BodyBudget
from prompt_api.serving.door import channel_class
from prompt_api.wire.limits import MAX_PROMPT_BODY
from shared.contract.errors import ConfigurationError
from shared.contract.settings import Settings

BACKLOG = 1024
CONNECTIONS = 2000
"""Open connections per process; beyond, new ones wait in the backlog."""

MAX_HEADER_BYTES = 64 * 1024
"""Of a request line and its headers together. Proxies pass on less."""

IDLE_TIMEOUT = 60
"""Seconds after which a silent connection is closed."""

STOP_SECONDS = 10.0
"""Seconds the supervisor gives its processes to end by themselves."""

RESTART_PAUSE = 1.0

REFUSED = 2
"""Exit status of a process that must not start."""

_log = logging.getLogger(__name__)


def reserve(settings: Settings) -> socket.socket:
    """A socket bound to the settings' address; with several processes, `serve` makes it listen.

    With several processes each has its own on the same port, and the kernel spreads connections over those
    that listen. (One listening socket for all lets an idle loop take every connection: while its threads
    decode, it is always the first to accept.)

    Raises:
        ConfigurationError: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if settings.api_processes > 1:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((settings.host, settings.port))
        if settings.api_processes == 1:
            listener.listen(BACKLOG)  # whoever connects while the decoder loads is served after it
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose another SAM_PORT or SAM_HOST"
        ) from None
    return listener


def serve(
    app: Flask, listener: socket.socket, settings: Settings, *, policy: AccessPolicy, metrics: ApiMetrics
) -> None:
    """Serve `app` until SIGTERM or SIGINT; requests under way are given five seconds to end.

    Args:
        policy: turns strangers away before their bodies are read.
        metrics: counts what never reaches `app`.
    """
    proxies: dict[str, Any] = {}
    if settings.trusted_proxies:
        proxies = {
            "trusted_proxy": "*",
            "trusted_proxy_count": settings.trusted_proxies,
            "trusted_proxy_headers": {"x-forwarded-for"},
        }
    # The application answers for bodies a little too large; past this, the channel refuses unread.
    largest = max(settings.max_upload_bytes, MAX_PROMPT_BODY) + 1024 * 1024
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

    They are started afresh, not forked: ONNX Runtime sessions do not survive a fork. Each counts in a slot of its own.

    Raises:
        ConfigurationError: one of them must not start, and nor would the next.
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
                        raise ConfigurationError("an API process refused to start, and said why")
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
