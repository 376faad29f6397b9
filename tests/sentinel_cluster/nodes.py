"""A cluster of three masters, one of them with a replica. The processes are real and notice a death within seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis.crc import key_slot

from deploy.local.ports import free_port
from deploy.local.process import ProcessGroup
from shared.contract.keys import image_key
from tests.sentinel_cluster.scene import id_of, photo
from tests.sentinel_cluster.tls import Member, Tls
from tests.sentinel_cluster.until import until
from tests.support.servers import CACHE_OPTIONS, Server

MASTERS = 3
SLOTS = 16_384

_NODE_TIMEOUT = 1000  # milliseconds


class Nodes:
    """The cluster. Master n has the nth third of the slots. The replica belongs to master 0."""

    def __init__(self, folder: Path, group: ProcessGroup, tls: Tls | None = None) -> None:
        """
        Args:
            tls: nodes and clients use TLS with it. The tests themselves connect without TLS.
        """
        self._tls = tls
        self.masters = [self._server(f"node {number}", folder, group) for number in range(MASTERS)]
        self.replica = self._server("replica", folder, group)

    def assemble(self) -> None:
        """Make one cluster of the nodes."""
        first, *others = self.all
        for number, master in enumerate(self.masters):
            self.say(master, "CLUSTER", "ADDSLOTSRANGE", _first_slot(number), _first_slot(number + 1) - 1)
            self.say(master, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in others:
            port, bus_port = first.announced, self._bus_port(first)
            self.say(server, "CLUSTER", "MEET", "127.0.0.1", port, bus_port)
        until(
            lambda: all(b"cluster_known_nodes:4" in self._info(server) for server in self.all), "they know each other"
        )
        self.say(self.replica, "CLUSTER", "REPLICATE", self.say(first, "CLUSTER", "MYID"))
        self.wait_until_whole()

    @property
    def all(self) -> list[Member]:
        return [*self.masters, self.replica]

    @property
    def url(self) -> str:
        scheme = "rediss" if self._tls else "redis"
        return f"{scheme}+cluster://" + ",".join(f"127.0.0.1:{server.announced}" for server in self.masters)

    def has(self, number: int, key: str) -> bool:
        """Return True if the slot of `key` was at master `number` at the start."""
        return _first_slot(number) <= key_slot(key.encode()) < _first_slot(number + 1)

    def photo_on(self, number: int) -> bytes:
        """Return a new photo whose keys were all at master `number` at the start."""
        while True:
            data = photo()
            if self.has(number, image_key(id_of(data))):
                return data

    def wait_until_whole(self) -> None:
        """Wait until every node agrees that all slots are served and that master 0 has its replica."""
        until(lambda: all(self._sees_all(server) for server in self.all), "the cluster is whole")

    @contextmanager
    def moving(self, key: str, number: int, *, to: int) -> Iterator[None]:
        """Migrate the slot of `key` from master `number` to master `to` during the block."""
        source, target, slot = self.masters[number], self.masters[to], key_slot(key.encode())
        names = {server: self.say(server, "CLUSTER", "MYID") for server in (source, target)}
        self.say(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        self.say(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
        yield
        for server in (target, source):
            self.say(server, "CLUSTER", "SETSLOT", slot, "NODE", names[target])

    def move(self, key: str, number: int, *, to: int) -> None:
        """Move the key itself."""
        self.masters[number].client.migrate("127.0.0.1", self.masters[to].port, key, 0, 1000)

    def say(self, server: Server, *words: object) -> bytes:
        answer = server.client.execute_command(*words)  # type: ignore[no-untyped-call]
        return answer if isinstance(answer, bytes) else b""

    def stop(self) -> None:
        for server in self.all:
            server.stop()

    def _server(self, name: str, folder: Path, group: ProcessGroup) -> Member:
        options = [*CACHE_OPTIONS, "--cluster-enabled", "yes", "--cluster-port", str(free_port())]
        options += ["--cluster-node-timeout", str(_NODE_TIMEOUT), "--cluster-require-full-coverage", "no"]
        options += ["--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"]
        if self._tls:
            options += ["--tls-cluster", "yes"]
        return Member(name, folder / name, options, group=group, tls=self._tls)

    def _bus_port(self, server: Server) -> int:
        return int(server.client.config_get("cluster-port")["cluster-port"] or 0)

    def _info(self, server: Server) -> bytes:
        return self.say(server, "CLUSTER", "INFO")

    def _sees_all(self, server: Server) -> bool:
        info = self._info(server)
        shards = server.client.execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]
        with_replica = max(len(shard) for shard in shards) == 4
        return b"cluster_state:ok" in info and b"cluster_slots_ok:16384" in info and with_replica


def _first_slot(number: int) -> int:
    return number * SLOTS // MASTERS
