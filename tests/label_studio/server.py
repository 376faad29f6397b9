"""A server in a process of its own, for as long as tests need it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import httpx

from deploy.local.process import Child, ProcessGroup, stop_all


@contextmanager
def running_server(
    name: str, command: Sequence[str], environ: Mapping[str, str], *, health: str, seconds: float
) -> Iterator[None]:
    """Run a command until the block ends. The block starts when `health` answers with status 200.

    Raises:
        StackError: the process ended.
        TimeoutError: it is not up after `seconds`.
    """
    group = ProcessGroup()
    lines: list[str] = []
    child = Child(name, command, environ=environ, group=group, sink=lines.append)
    try:
        _wait_until_up(health, child, seconds)
        yield
    finally:
        stop_all([child])
        group.close()
        child.finish_reading()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_up(health: str, child: Child, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        child.require_running()
        try:
            if httpx.get(health, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.3)
    raise TimeoutError(f"{child.name} is not up after {seconds:g} s:\n{child.tail()}")
