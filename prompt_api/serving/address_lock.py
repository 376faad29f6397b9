"""Makes sure that only one service starts on an address.

With several processes, each binds its own socket to the port, and the kernel allows that to every process of the same
user. So a second service could start silently beside the first one, and the kernel would spread clients over both.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from shared.contract.errors import ConfigurationError


@contextmanager
def address_lock(host: str, port: int) -> Iterator[None]:
    """Hold the lock of an address. It ends with this process, however that ends.

    The lock is a name that the kernel gives to one socket only. Such names belong to a network namespace, as ports do.
    There are none outside Linux: there `reserve` alone finds out that another service listens. A port of 0 needs no
    lock, because the kernel chooses one that is free.

    Raises:
        ConfigurationError: another service has the lock.
    """
    if not port or not sys.platform.startswith("linux"):
        yield
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as lock:
        try:
            lock.bind(f"\0sam-embedding-cache api {_numeric(host)} {port}")
        except OSError:
            raise ConfigurationError(
                f"another service has {host}:{port}; stop it, or choose another SAM_PORT or SAM_HOST"
            ) from None
        yield


def _numeric(host: str) -> str:
    """Return the address of `host`, so that one address has one name. An unknown host is refused later."""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError:
        return host
