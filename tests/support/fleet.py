"""Replicas of the API behind the real gateway. Each is a process on this machine with its own loopback address."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from deploy.local.embedded_valkey import start_valkey
from deploy.local.ports import free_port
from deploy.local.process import ROOT, Child, ProcessGroup, StackError, stop_all
from tests.support.name_server import NameServer

CONFIGURATION = ROOT / "deploy/gateway/haproxy.cfg"
MAX_BODY = 1_000_000

_NAME = "prompt-api.test"
_LINES = 20_000
_START_SECONDS = 60.0
_READY = re.compile(r"\bready:")
_ADDRESS, _STATE, _CHECKED = 4, 5, 11
"""The columns of HAProxy's `show servers state` that the tests read."""
_RUNNING, _PASSED = "2", "3"
"""The values of these columns for a server that is up and whose last check passed."""


class Fleet:
    """Runs Valkey, workers, replicas, HAProxy, and the DNS server that HAProxy asks for replicas; a context manager."""

    def __init__(
        self,
        replicas: int,
        *,
        workers: int = 1,
        settings: Mapping[str, str] | None = None,
        cache_bytes: int | None = None,
        configuration: Path = CONFIGURATION,
    ) -> None:
        """
        Args:
            settings: environment variables for replicas and workers. They override those of this process.
            cache_bytes: memory of a separate cache server that evicts the least-used entries. If None, the queue's
                server is also the cache and does not evict.
            configuration: the gateway's configuration file.
        """
        self._count = replicas
        self._worker_count = workers
        self._cache_bytes = cache_bytes
        self._configuration = configuration
        self._environ = {**os.environ, "PYTHONUNBUFFERED": "1", "SAM_MODEL": "fake", **(settings or {})}
        self._group = ProcessGroup()
        self._names = NameServer()
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._said: deque[str] = deque(maxlen=_LINES)
        self._replicas: dict[str, Child] = {}
        self._workers: list[Child] = []
        self._gateway: Child | None = None
        self._valkeys: list[Child] = []
        self._folder = tempfile.TemporaryDirectory(prefix="fleet-")
        self._next = 11
        self._port = free_port()
        self.url = ""
        self.cache_url = ""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    @property
    def _socket(self) -> Path:
        return Path(self._folder.name, "gateway")

    @property
    def replicas(self) -> tuple[str, ...]:
        """Addresses of the running replicas."""
        return tuple(address for address, child in self._replicas.items() if child.exit_code is None)

    @property
    def pids(self) -> dict[str, list[int]]:
        """Process ids of the running processes, by `replicas`, `gateway`, `valkey` and `workers`."""
        children = {
            "replicas": list(self._replicas.values()),
            "gateway": [self._gateway] if self._gateway else [],
            "valkey": self._valkeys,
            "workers": self._workers,
        }
        return {name: [child.pid for child in kind if child.exit_code is None] for name, kind in children.items()}

    def address_of(self, replica: str) -> str:
        """Host and port at which `replica` answers without the gateway."""
        return f"{replica}:{self._port}"

    def add_replica(self) -> str:
        """Start a replica. Return its address once it serves and the gateway sends requests to it."""
        address = self._spawn_replica()
        self._wait_until_up([address])
        return address

    def kill_replica(self, address: str) -> None:
        """Send SIGKILL, like a crash. Its DNS record is removed afterwards, as on a real platform."""
        self._replicas[address].kill()
        self._publish()

    def wait_until_forgotten(self, address: str) -> None:
        """Return once the gateway no longer lists this replica."""
        self._wait(
            lambda: address not in self._known_to_the_gateway(), "the gateway still knows a replica that is gone"
        )

    def stop_replica(self, address: str) -> int | None:
        """Send SIGTERM, as a platform does to stop a container, and return the exit status."""
        child = self._replicas[address]
        stop_all([child])
        self._publish()
        return child.exit_code

    def replace_worker(self) -> None:
        """Start another worker, then stop the oldest one with SIGTERM, as a platform does."""
        self._spawn_worker()
        stop_all([self._workers.pop(0)])

    @contextmanager
    def frozen(self, address: str) -> Iterator[None]:
        """The replica is stopped during the block, and its kernel still takes connections."""
        self._replicas[address].signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._replicas[address].signal(signal.SIGCONT)

    def taken_out(self) -> list[str]:
        """The lines in which the gateway says that it took a replica out, so far."""
        return [line for line in list(self._lines) if " is DOWN" in line]

    def answered_by(self, request_ids: Sequence[str]) -> list[str]:
        """The replica that answered each request, in order. Waits up to 10 s for the gateway's log lines."""
        deadline = time.monotonic() + 10.0
        while True:
            entries = [json.loads(line) for line in list(self._lines) if line.startswith('{"time"')]
            replicas = {entry["request_id"]: entry["replica"] for entry in entries}
            if all(request_id in replicas for request_id in request_ids):
                return [replicas[request_id] for request_id in request_ids]
            if time.monotonic() > deadline:
                raise StackError("the gateway did not write down every request")
            threading.Event().wait(0.02)

    def replica_says(self, text: str) -> bool:
        """Whether the log of a replica contains `text`. Waits up to 10 s for it."""
        deadline = time.monotonic() + 10.0
        while not any(text in line for line in list(self._said)):
            if time.monotonic() > deadline:
                return False
            threading.Event().wait(0.02)
        return True

    def _start(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        queue_url = self.cache_url = self._start_valkey(deadline)
        if self._cache_bytes is not None:
            self.cache_url = self._start_valkey(deadline)
            with redis.Redis.from_url(self.cache_url) as client:
                client.config_set("maxmemory", self._cache_bytes)
                client.config_set("maxmemory-policy", "allkeys-lfu")
        self._environ |= {"SAM_CACHE_URL": self.cache_url, "SAM_QUEUE_URL": queue_url}
        self._names.__enter__()
        for _ in range(self._worker_count):
            self._spawn_worker()
        addresses = [self._spawn_replica() for _ in range(self._count)]
        self._start_gateway()
        self._wait_until_up(addresses)

    def _start_valkey(self, deadline: float) -> str:
        child, url = start_valkey(self._group, _nobody, deadline)
        self._valkeys.append(child)
        return url

    def _start_gateway(self) -> None:
        port = free_port()
        environ = {
            **os.environ,
            "BIND": f"127.0.0.1:{port}",
            "UPSTREAM": f"{_NAME}:{self._port}",
            "DNS": self._names.address,
            "MAX_REPLICAS": "8",
            "MAX_BODY": str(MAX_BODY),
        }
        more = Path(self._folder.name, "more.cfg")
        more.write_text(f"global\n    stats socket {self._socket} mode 600 level user\n")
        command = [haproxy(), "-f", str(self._configuration), "-f", str(more)]
        self._gateway = Child("gateway", command, environ=environ, group=self._group, sink=self._lines.append)
        self.url = f"http://127.0.0.1:{port}"

    def _spawn_worker(self) -> None:
        worker = Child(
            "worker", [sys.executable, "-m", "encoder_worker"], environ=self._environ, group=self._group, sink=_nobody
        )
        self._workers.append(worker)
        worker.wait_for_line(_READY, time.monotonic() + _START_SECONDS)

    def _spawn_replica(self) -> str:
        address = f"127.0.0.{self._next}"
        self._next += 1
        environ = {**self._environ, "SAM_HOST": address, "SAM_PORT": str(self._port)}
        self._replicas[address] = Child(
            address, [sys.executable, "-m", "prompt_api"], environ=environ, group=self._group, sink=self._said.append
        )
        self._publish()
        return address

    def _publish(self) -> None:
        self._names.addresses = self.replicas

    def _wait_until_up(self, addresses: list[str]) -> None:
        """Wait until the gateway sends requests to each of these replicas."""
        self._wait(lambda: set(addresses) <= self._known_to_the_gateway(running=True), "the gateway misses a replica")

    def _wait(self, happened: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not happened():
            for child in (self._gateway, *self._replicas.values()):
                if child is not None and child.name in (*self.replicas, "gateway"):
                    child.require_running()
            if time.monotonic() > deadline:
                raise StackError(otherwise)
            threading.Event().wait(0.05)

    def _known_to_the_gateway(self, *, running: bool = False) -> set[str]:
        """Addresses that the gateway lists; with `running`, only those that pass its checks."""
        try:
            lines = _asked(self._socket, "show servers state")
        except OSError:  # the gateway does not listen yet
            return set()
        servers = [line.split() for line in lines if line.count(" ") > _CHECKED]
        known = {server[_ADDRESS] for server in servers}
        poor = {server[_ADDRESS] for server in servers if (server[_STATE], server[_CHECKED]) != (_RUNNING, _PASSED)}
        return known - poor if running else known

    def _close(self) -> None:
        gateway = [self._gateway] if self._gateway else []
        stop_all([*gateway, *self._replicas.values(), *self._workers, *self._valkeys])
        self._group.close()
        self._names.__exit__(None, None, None)
        self._folder.cleanup()


def haproxy() -> str:
    """Path of the HAProxy program.

    Raises:
        StackError: HAProxy is not installed.
    """
    found = shutil.which("haproxy") or ("/usr/sbin/haproxy" if Path("/usr/sbin/haproxy").exists() else None)
    if found is None:
        raise StackError("haproxy not found: apt-get install haproxy")
    return found


def _asked(path: Path, command: str) -> list[str]:
    """Return the lines that HAProxy answers on its socket. Raises OSError."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_START_SECONDS)
        connection.connect(str(path))
        connection.sendall(f"{command}\n".encode())
        return connection.makefile().read().splitlines()


def _nobody(_line: str) -> None:
    """Ignore the line: the child keeps its lines itself."""
