"""A pool of connections to the master that sentinels name. It follows the master through failovers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.connection import Connection, SSLConnection
from redis.sentinel import MasterNotFoundError, SentinelConnectionPool
from redis.utils import SENTINEL as UNSET

from shared.redis.guarded import Guarded
from shared.redis.replies import Checked


class Sentinels:
    """Asks sentinels for the master, starting with the sentinel that knew it last. Thread-safe.

    `redis.sentinel.Sentinel` is not thread-safe: two threads that reorder its list at once may lose a sentinel.

    Attributes:
        clients: one for each sentinel.
    """

    def __init__(self, clients: Sequence[redis.Redis]) -> None:
        """Args:
        clients: one for each sentinel, with short time-outs: a sentinel that hangs delays the question to the next.
        """
        self.clients = tuple(clients)
        self._first = 0

    def discover_master(self, service: str) -> tuple[str, int]:
        """Return host and port of the master. redis-py's pool calls this method by name.

        Raises:
            MasterNotFoundError: no sentinel answers, or none knows a master that is up.
        """
        first = self._first
        reasons = []
        for step in range(len(self.clients)):
            index = (first + step) % len(self.clients)
            try:
                state = self.clients[index].sentinel_master(service)
            except redis.RedisError as error:
                reasons.append(str(error))
                continue
            except Exception as error:  # redis-py builds a dict of the reply, whatever the reply is
                self.clients[index].connection_pool.disconnect(inuse_connections=False)  # one of them is out of step
                reasons.append(f"the reply is not about a master ({type(error).__name__})")
                continue
            match state:
                case {"ip": str(host), "port": int(port), "is_master": True, "is_sdown": False, "is_odown": False}:
                    self._first = index
                    return host, port
            reasons.append("the master is down")
        raise MasterNotFoundError(f"no sentinel names a master of {service!r}: {'; '.join(reasons)}")

    def doubt(self) -> None:
        """Ask another sentinel first from now on: the server that the last one named was not a master."""
        self._first = (self._first + 1) % len(self.clients)

    def close(self) -> None:
        for client in self.clients:
            client.close()


class MasterPool(SentinelConnectionPool):
    """redis-py's pool, which here also closes the connections to the sentinels when it is closed."""

    def disconnect(self, inuse_connections: bool = True) -> None:
        super().disconnect(inuse_connections)
        if inuse_connections:
            self.sentinel_manager.close()


class MasterConnection(Checked, Connection):
    """A connection to the current master. It is closed when the server says that it is no longer the master."""

    def __init__(self, *, connection_pool: Any, **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]  # redis-py has no annotations here
        self._pool = connection_pool

    def connect(self) -> None:
        if self._sock is None:
            self.host, self.port = self._pool.get_master_address()
        super().connect()  # type: ignore[no-untyped-call]

    def read_response(
        self,
        disable_decoding: bool = False,
        *,
        timeout: Any = UNSET,
        disconnect_on_error: bool = True,
        push_request: bool = False,
    ) -> Any:
        try:
            return super().read_response(
                disable_decoding=disable_decoding,
                timeout=timeout,
                disconnect_on_error=disconnect_on_error,
                push_request=push_request,
            )
        except redis.ResponseError as error:
            if not _says_demoted(error):
                raise
            self.disconnect()  # type: ignore[no-untyped-call]
            self._pool.sentinel_manager.doubt()
            raise redis.ConnectionError("the server is no longer the master") from error


class MasterTlsConnection(MasterConnection, SSLConnection):
    """A connection to the master over TLS."""


class GuardedMasterConnection(Guarded, MasterConnection):
    """A connection to the master for request paths, see `shared.redis.guarded`."""


class GuardedMasterTlsConnection(Guarded, MasterTlsConnection):
    """A connection to the master for request paths, over TLS."""


_KINDS: dict[tuple[bool, bool], type[MasterConnection]] = {
    (False, False): MasterConnection,
    (False, True): MasterTlsConnection,
    (True, False): GuardedMasterConnection,
    (True, True): GuardedMasterTlsConnection,
}
"""The connection class, by (guarded, over TLS)."""


def master_client(
    service: str, sentinels: Sequence[redis.Redis], *, tls: bool, guarded: bool, **options: Any
) -> redis.Redis:
    """Create a client of the master of `service`.

    Args:
        sentinels: one client for each sentinel.
        options: options of each connection to a master.
    """
    pool = MasterPool(  # type: ignore[no-untyped-call]  # redis-py has no annotation here
        service, Sentinels(sentinels), connection_class=_KINDS[guarded, tls], **options
    )
    return redis.Redis.from_pool(pool)


def follows_a_master(client: redis.Redis) -> bool:
    """Return whether `master_client` created `client`."""
    return isinstance(client.connection_pool, MasterPool)


def _says_demoted(error: redis.ResponseError) -> bool:
    # If the master becomes a replica while a client blocks on a list, the client gets an error without its own class.
    return isinstance(error, redis.exceptions.ReadOnlyError) or str(error).startswith("UNBLOCKED")
