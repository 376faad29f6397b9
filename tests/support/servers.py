"""Valkey servers that tests stop, kill, fill and damage: real processes, each with its own folder."""

from __future__ import annotations

import resource
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from deploy.local.embedded_valkey import valkey_binary
from deploy.local.ports import free_port
from deploy.local.process import Child, ProcessGroup, stop_all

_START_SECONDS = 30.0
_TIMEOUT = 20.0
_BALLAST = "chaos:ballast:"
_BALLAST_BYTES = 1_000_000

CACHE_OPTIONS = ("--maxmemory-policy", "allkeys-lfu", "--appendonly", "no", "--lazyfree-lazy-eviction", "yes")
QUEUE_OPTIONS = ("--maxmemory-policy", "noeviction", "--appendonly", "yes", "--appendfsync", "everysec")
"""Server options for the two roles, cache and queue, as the README describes them."""


class Server:
    """One server. It keeps its port when it is restarted."""

    def __init__(
        self,
        name: str,
        folder: Path,
        options: Sequence[str],
        *,
        maxmemory: int,
        group: ProcessGroup,
        sink: Callable[[str], None],
        binary: Path | None = None,
    ) -> None:
        """
        Args:
            folder: for its files. It is created, and `restart(empty=True)` empties it.
            maxmemory: bytes.
            binary: path of a server to run instead of the embedded Valkey.
        """
        self.name = name
        self.port = free_port()
        self._binary = binary or valkey_binary()
        self._folder = folder
        self._group = group
        self._sink = sink
        self._maxmemory = maxmemory
        self._options = [*options, "--maxmemory", str(maxmemory), "--save", "", "--daemonize", "no"]
        self._child: Child | None = None
        self._client = redis.Redis(
            port=self.port, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, retry=Retry(NoBackoff(), 0)
        )
        self.start()

    @property
    def client(self) -> redis.Redis:
        """A client that connects to the server directly, not through the proxy."""
        return self._client

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        # A write past RLIMIT_FSIZE must fail as on a full disk instead of ending the process.
        command = ["/bin/sh", "-c", 'trap "" XFSZ; exec "$0" "$@"', str(self._binary)]
        command += ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder), *self._options]
        self._child = Child(self.name, command, environ={}, group=self._group, sink=self._sink)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            self._child.require_running()
            try:
                self._client.ping()
            except redis.RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """Send SIGKILL. Returns once the process is gone."""
        self._running.kill()

    def restart(self, *, empty: bool = False) -> None:
        """Start the server after `kill`, with its files or empty."""
        if empty:
            shutil.rmtree(self._folder)
        self.start()

    def freeze(self) -> None:
        """Send SIGSTOP."""
        self._running.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Send SIGCONT."""
        self._running.signal(signal.SIGCONT)

    def stop(self) -> None:
        """Shut the server down cleanly."""
        if self._child is not None:
            self.thaw()
            stop_all([self._child])
        self._client.close()

    def fill(self, times: float = 1.0) -> None:
        """Write filler data until the server refuses it, or until `times` its memory is written."""
        for number in range(int(times * self._maxmemory / _BALLAST_BYTES) + 2):
            try:
                self._client.set(f"{_BALLAST}{number}", bytes(_BALLAST_BYTES))
            except redis.ResponseError:
                break
        # Fill the rest of the last megabyte with smaller and smaller pieces: a job is only a few hundred bytes.
        for size in (10_000, 100):
            for number in range(_BALLAST_BYTES // size):
                try:
                    self._client.set(f"{_BALLAST}{size}:{number}", bytes(size))
                except redis.ResponseError:
                    break

    def drain(self) -> None:
        """Remove the filler data."""
        for keys in _batches(self._client.scan_iter(match=f"{_BALLAST}*", count=1000), 500):
            self._client.unlink(*keys)

    def set_policy(self, policy: str) -> None:
        self._client.config_set("maxmemory-policy", policy)

    def fill_disk(self) -> None:
        """Stop all its files from growing, as a full disk does to the append-only file."""
        files = [file.stat().st_size for file in self._folder.rglob("*") if file.is_file()]
        self._limit_files(max(files))

    def free_disk(self) -> None:
        self._limit_files(resource.RLIM_INFINITY)

    def _limit_files(self, size: int) -> None:
        _, hard = resource.prlimit(self._running.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._running.pid, resource.RLIMIT_FSIZE, (size, hard))

    @property
    def _running(self) -> Child:
        assert self._child is not None
        return self._child


class Freezable(Protocol):
    """A process that can be stopped and continued."""

    def thaw(self) -> None: ...


@contextmanager
def thawed(*servers: Freezable) -> Iterator[None]:
    """Thaw the servers after the block, even after an error: a stopped process does not react to SIGTERM."""
    try:
        yield
    finally:
        for server in servers:
            server.thaw()


def _batches(keys: Iterator[bytes], size: int) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for key in keys:
        batch.append(key)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
