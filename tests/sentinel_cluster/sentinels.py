"""A master, two replicas and three sentinels. The processes are real and notice a death within seconds."""

from __future__ import annotations

import signal
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.local.embedded_valkey import valkey_binary
from deploy.local.ports import free_port
from deploy.local.process import Child, ProcessGroup, stop_all
from tests.sentinel_cluster.tls import Member, Tls
from tests.sentinel_cluster.until import until
from tests.support.servers import QUEUE_OPTIONS

SERVICE = "queue"
DOWN_AFTER = 1.0
"""After this many seconds without an answer, a sentinel takes a server for dead."""

_CONFIGURATION = """\
port {port}
bind 127.0.0.1
dir "{folder}"
sentinel monitor {service} 127.0.0.1 {master} 2
sentinel down-after-milliseconds {service} {down_after}
sentinel failover-timeout {service} 2000
sentinel parallel-syncs {service} 2
{more}
"""


class Sentinel:
    """One sentinel.

    Attributes:
        port: the port that the tests connect to.
        announced: the port for clients and the other sentinels. It is the same port, unless they use TLS.
    """

    def __init__(self, name: str, folder: Path, master: int, group: ProcessGroup, tls: Tls | None) -> None:
        self.port = free_port()
        self.announced = free_port() if tls else self.port
        folder.mkdir()
        file = folder / "sentinel.conf"  # the sentinel writes what it learns into this file
        file.write_text(
            _CONFIGURATION.format(
                port=self.port,
                folder=folder,
                service=SERVICE,
                master=master,
                down_after=int(1000 * DOWN_AFTER),
                more="\n".join(f"{name} {value}" for name, value in tls.settings(self.announced)) if tls else "",
            )
        )
        command = [str(tls.binary if tls else valkey_binary()), str(file), "--sentinel"]
        self._child = Child(name, command, environ={}, group=group, sink=lambda _line: None)
        self.client = redis.Redis(port=self.port, socket_timeout=5, retry=Retry(NoBackoff(), 0))
        # By default a sentinel asks a healthy server only every ten seconds, so it learns late which one is the master.
        periods = ("INFO-PERIOD", 200, "PUBLISH-PERIOD", 200, "ASK-PERIOD", 200)
        until(lambda: self._say("SENTINEL", "DEBUG", *periods), "a sentinel answers")

    def _say(self, *words: object) -> bool:
        return bool(self.client.execute_command(*words))  # type: ignore[no-untyped-call]

    def freeze(self) -> None:
        self._child.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._child.signal(signal.SIGCONT)

    def stop(self) -> None:
        self.thaw()
        stop_all([self._child])
        self.client.close()


class Replicated:
    """One service behind sentinels."""

    def __init__(self, folder: Path, group: ProcessGroup, tls: Tls | None = None) -> None:
        """
        Args:
            tls: servers, sentinels and clients use TLS with it. The tests themselves connect without TLS.
        """
        self._scheme = "rediss" if tls else "redis"
        self.servers: list[Member] = []
        for number in range(3):
            # A replica that was cut off must follow its master again at once.
            options = [*QUEUE_OPTIONS, "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"]
            if self.servers:
                options += ["--replicaof", f"127.0.0.1 {self.servers[0].announced}"]
            name = f"server {number}"
            self.servers.append(Member(name, folder / name, options, group=group, tls=tls))
        first = self.servers[0].announced
        self.sentinels = [Sentinel(f"sentinel {n}", folder / f"sentinel {n}", first, group, tls) for n in range(3)]

    @property
    def url(self) -> str:
        """Return the URL with the last sentinel first, because the tests themselves ask the first one."""
        hosts = ",".join(f"127.0.0.1:{sentinel.announced}" for sentinel in reversed(self.sentinels))
        return f"{self._scheme}+sentinel://{hosts}/{SERVICE}"

    @property
    def master(self) -> Member:
        """Return the server that the sentinels name as the master."""
        _, port = self._ask(0, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return next(server for server in self.servers if server.announced == int(port))

    @property
    def replicas(self) -> list[Member]:
        master = self.master
        return [server for server in self.servers if server is not master]

    def wait_until_whole(self) -> None:
        """Wait until all sentinels know each other and agree, and both replicas follow the master."""
        until(lambda: all(self._knows_all(number) for number in range(3)), "the sentinels know all")
        until(lambda: self._confirmed() == 2, "both replicas follow the master")

    def fail_over(self) -> None:
        """Switch to another master, as an operator does. The old master goes on as a replica."""
        old = self.master
        self.sentinels[0].client.execute_command("SENTINEL", "FAILOVER", SERVICE)  # type: ignore[no-untyped-call]
        until(lambda: self.master is not old, "there is another master")

    def cut_connections(self) -> None:
        """Cut the connections of all clients, so that they must find the master again."""
        self.master.client.execute_command("CLIENT", "KILL", "TYPE", "normal")  # type: ignore[no-untyped-call]

    def stop(self) -> None:
        for sentinel in self.sentinels:
            sentinel.stop()
        for server in self.servers:
            server.stop()

    def _knows_all(self, number: int) -> bool:
        state = self.sentinels[number].client.sentinel_master(SERVICE)
        assert isinstance(state, dict)
        others = state["num-slaves"], state["num-other-sentinels"], state["flags"]
        return others == (2, 2, "master") and state["port"] == self.master.announced

    def _confirmed(self) -> int:
        client = self.master.client
        client.set("confirmed", 1)
        return int(client.wait(2, 100))

    def _ask(self, number: int, *words: str) -> list[bytes]:
        answer = self.sentinels[number].client.execute_command(*words)  # type: ignore[no-untyped-call]
        assert isinstance(answer, list | tuple)
        return list(answer)
