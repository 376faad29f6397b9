"""Replies of Redis that cannot be understood. They are failures of the connection, and it is closed.

If a server, a proxy or an earlier command has left one reply too many, each later command reads the reply of the one
before it. No reply on that connection can be trusted any more.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import InvalidResponse
from redis.utils import SENTINEL as UNSET


class UnexpectedReply(redis.ConnectionError):
    """The reply cannot be parsed, or is not of the type that the command has."""


class Checked:
    """A connection that is closed at a reply that cannot be parsed. It is a base class before redis-py's own."""

    def read_response(
        self,
        disable_decoding: bool = False,
        *,
        timeout: Any = UNSET,
        disconnect_on_error: bool = True,
        push_request: bool = False,
    ) -> Any:
        try:
            return super().read_response(  # type: ignore[misc]  # the second base has it
                disable_decoding=disable_decoding,
                timeout=timeout,
                disconnect_on_error=disconnect_on_error,
                push_request=push_request,
            )
        except Exception as error:  # the parser raises ValueError, TypeError, RecursionError, ...
            if isinstance(error, redis.RedisError | OSError) and not isinstance(error, InvalidResponse):
                raise
            self.disconnect()  # type: ignore[attr-defined]  # the second base has it
            raise UnexpectedReply(f"the reply cannot be parsed ({type(error).__name__})") from error


class CheckedConnection(Checked, Connection):
    """A checked connection over TCP."""


class CheckedTlsConnection(Checked, SSLConnection):
    """A checked connection over TLS."""


class CheckedUnixConnection(Checked, UnixDomainSocketConnection):
    """A checked connection over a Unix socket."""


CheckedClass = type[CheckedConnection] | type[CheckedTlsConnection] | type[CheckedUnixConnection]

_KINDS: dict[str, CheckedClass] = {"rediss": CheckedTlsConnection, "unix": CheckedUnixConnection}


def checked_class(url: str) -> CheckedClass:
    """Return the checked connection class for a Redis URL."""
    return _KINDS.get(url.partition(":")[0], CheckedConnection)
