"""Finds free ports on this machine."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a port that no process uses now. Another process may take it before the caller does."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port
