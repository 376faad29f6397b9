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
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING, Any

from flask import Flask
from waitress.adjustments import Adjustments
from waitress.task import ThreadedTaskDispatcher

from prompt_api.access.policy import AccessPolicy
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.metrics.processes import SharedFolder, no_place, shared_folder
from prompt_api.serving import descriptors
from prompt_api.serving.api_server import ApiServer
from prompt_api.serving.body_budget import BodyBudget, largest_body
from prompt_api.serving.door import channel_class
from shared.contract.errors import ConfigurationError
from shared.contract.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

BACKLOG = 1024
MORE_THAN_ALL = 1_000_000
"""waitress's own limit of connections is never reached, because `ApiServer` has a better one."""

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
    """Return a socket bound to the settings' address, if no other service has it. See `share` for the rest.

    The caller holds the lock of the address, see `address_lock`.

    Raises:
        ConfigurationError: another process has the address, or it is not an address of this machine.
    """
    if settings.api_processes > 1 and settings.port:
        # `share` may bind to an address on which another service of the same user listens. This bind may not.
        alone = replace(settings, api_processes=1)
        _bound(alone).close()
    return share(settings)


def share(settings: Settings) -> socket.socket:
    """Return a socket bound to the settings' address. With several processes, it listens only from `serve` on.

    With several processes, each has its own socket on the same port, and the kernel spreads connections over the
    sockets that listen. (With one listening socket for all, one idle loop could take every connection: while its
    threads decode, it is always the first to accept.)

    Raises:
        ConfigurationError: another process has the address, or it is not an address of this machine.
    """
    listener = _bound(settings)
    if settings.api_processes == 1:
        try:
            listener.listen(BACKLOG)  # clients that connect while the decoder loads are served afterwards
        except OSError as error:
            listener.close()
            raise _refused(settings, error) from None
    return listener


def _bound(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if settings.api_processes > 1:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise _refused(settings, error) from None
    return listener


def _refused(settings: Settings, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose another SAM_PORT or SAM_HOST"
    )


def serve(
    app: Flask, listener: socket.socket, settings: Settings, *, policy: AccessPolicy, metrics: ApiMetrics
) -> None:
    """Serve `app` until SIGTERM or SIGINT. Running requests then get five seconds to end.

    Args:
        policy: refuses requests without a valid token before their bodies are read.
        metrics: counts requests that never reach `app`.
    """
    server = made_server(
        app, listener, settings, policy=policy, metrics=metrics, connections=descriptors.connections_allowed()
    )
    signal.signal(signal.SIGTERM, _exit)
    signal.signal(signal.SIGINT, _exit)
    server.run()


def made_server(
    app: WSGIApplication,
    listener: socket.socket,
    settings: Settings,
    *,
    policy: AccessPolicy,
    metrics: ApiMetrics,
    connections: int = descriptors.CONNECTIONS,
) -> ApiServer:
    """Return a server with its threads. It serves `app` while its `run` runs. The arguments are those of `serve`."""
    proxies: dict[str, Any] = {}
    if settings.trusted_proxies:
        proxies = {
            "trusted_proxy": "*",
            "trusted_proxy_count": settings.trusted_proxies,
            "trusted_proxy_headers": {"x-forwarded-for"},
        }
    largest = largest_body(settings.max_upload_bytes)
    adjustments = Adjustments(
        sockets=[listener],
        threads=settings.api_threads,
        max_request_body_size=largest,
        max_request_header_size=MAX_HEADER_BYTES,
        connection_limit=MORE_THAN_ALL,
        channel_timeout=IDLE_TIMEOUT,
        backlog=BACKLOG,
        asyncore_use_poll=True,
        channel_request_lookahead=1,  # lets event streams notice that their client has left
        ident=None,
        **proxies,
    )
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.set_thread_count(settings.api_threads)
    server = ApiServer(
        app,
        map={},
        _sock=listener,
        dispatcher=dispatcher,
        adj=adjustments,
        sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
        bind_socket=False,
        connections=connections,
    )
    server.channel_class = channel_class(policy, BodyBudget(largest), metrics.answered)
    return server


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
    # Only this process has the end of the pipe that is written to, so the children notice when it ends.
    ours, theirs = reversed(os.pipe())
    command = [sys.executable, "-m", "prompt_api", "--share-port", str(port), "--parent", str(theirs), "--slot"]
    environ = {**os.environ, **folder.environ()}

    def start(slot: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*command, str(slot)], env=environ, pass_fds=[theirs])  # noqa: S603 - our own command

    children: list[subprocess.Popen[bytes]] = []
    try:
        for slot in range(processes):
            try:
                folder.reserve(slot)
            except OSError as error:
                raise no_place(error) from error
            children.append(start(slot))
        folder.record(child.pid for child in children)
        while True:
            time.sleep(RESTART_PAUSE)
            for slot, child in enumerate(children):
                if child.poll() is not None:
                    if child.returncode == REFUSED:
                        raise ConfigurationError("an API process refused to start; its own message says why")
                    folder.vacate(slot)
                    try:
                        folder.reserve(slot)
                    except OSError as error:
                        _log.warning("an API process ended, and its metrics have no room yet: %s", error.strerror)
                        continue
                    _log.error("API process %d ended with status %d; starting another", child.pid, child.returncode)
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
        os.close(ours)
        os.close(theirs)


def _exit(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
