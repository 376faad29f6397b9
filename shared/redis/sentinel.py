"""The master that sentinels name: a pool of connections that follows it through failovers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.connection import Connection, SSLConnection
from redis.sentinel import MasterNotFoundError, SentinelConnectionPool
from redis.utils import SENTINEL as UNSET

from shared.redis.guarded import Guarded


class Sentinels:
    """Asks sentinels where the master is, first the one that knew it last. Safe for threads.

    `redis.sentinel.Sentinel` is not: two threads that reorder its list at once may lose a sentinel from it.

    Attributes:
        clients: one for each sentinel.
    """

    def __init__(self, clients: Sequence[redis.Redis]) -> None:
        """Args:
        clients: one for each sentinel, with short time-outs: one that hangs is waited for before the next is asked.
        """
        self.clients = tuple(clients)
        self._first = 0

    def discover_master(self, service: str) -> tuple[str, int]:
        """Host and port of the master, by what redis-py's pool asks for.

        Raises:
            MasterNotFoundError: no sentinel answers, or none knows of a master that is up.
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
            assert isinstance(state, dict)
            if not state["is_master"] or state["is_sdown"] or state["is_odown"]:
                reasons.append("the master is down")
                continue
            self._first = index
            return str(state["ip"]), int(state["port"])
        raise MasterNotFoundError(f"no sentinel names a master of {service!r}: {'; '.join(reasons)}")

    def doubt(self) -> None:
        """Ask another one first: what the last one named was no master."""
        self._first = (self._first + 1) % len(self.clients)

    def close(self) -> None:
        for client in self.clients:
            client.close()


class MasterPool(SentinelConnectionPool):
    """redis-py's own, which also closes the connections to the sentinels when it is closed."""

    def disconnect(self, inuse_connections: bool = True) -> None:
        super().disconnect(inuse_connections)
        if inuse_connections:
            self.sentinel_manager.close()


class MasterConnection(Connection):
    """A connection to whoever is the master when it is made, closed when that is found to be the master no more."""

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
            raise redis.ConnectionError("the master is one no more") from error


class MasterTlsConnection(MasterConnection, SSLConnection):
    """Over TLS."""


class GuardedMasterConnection(Guarded, MasterConnection):
    """For requests, see `shared.redis.guarded`."""


class GuardedMasterTlsConnection(Guarded, MasterTlsConnection):
    """For requests, over TLS."""


_KINDS: dict[tuple[bool, bool], type[MasterConnection]] = {
    (False, False): MasterConnection,
    (False, True): MasterTlsConnection,
    (True, False): GuardedMasterConnection,
    (True, True): GuardedMasterTlsConnection,
}
"""By: guarded, over TLS."""


def master_client(
    service: str, sentinels: Sequence[redis.Redis], *, tls: bool, guarded: bool, **options: Any
) -> redis.Redis:
    """A client of the master of `service`.

    Args:
        sentinels: a client for each.
        options: of each connection to a master.
    """
    pool = MasterPool(  # type: ignore[no-untyped-call]  # redis-py has no annotation here
        service, Sentinels(sentinels), connection_class=_KINDS[guarded, tls], **options
    )
    return redis.Redis.from_pool(pool)


def follows_a_master(client: redis.Redis) -> bool:
    """Whether `client` is one of `master_client`'s."""
    return isinstance(client.connection_pool, MasterPool)


def _says_demoted(error: redis.ResponseError) -> bool:
    # What a client is told that was blocked on a list when the master became a replica has no class of its own.
    return isinstance(error, redis.exceptions.ReadOnlyError) or str(error).startswith("UNBLOCKED")
