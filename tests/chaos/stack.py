"""The service as deployed, for the faults to break: two Valkeys, workers, a mask worker and API processes.

The API and each worker reach each Valkey through a proxy port of their own. The workers share a queue. One of them
takes several images at once, and has processes of their own decode them. The other takes one image at a time.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Self

from bench.cores import children
from deploy.local.process import Child, ProcessGroup, StackError, stop_all
from deploy.local.stack import SERVICE_ENVIRON
from tests.chaos.commands import FOUND, STORED
from tests.chaos.decoders import decoders_of, orphans
from tests.chaos.scratch import Scratch
from tests.support.proxy import FAIR, Link, Proxy, Trap, Weather
from tests.support.servers import CACHE_OPTIONS, QUEUE_OPTIONS, Server, thawed

API_PROCESSES = 2
WORKERS = 2
BATCHING = 1
"""Number of the worker that takes several images at once. Processes decode for it."""
MASK_WORKERS = 1
MEMORY = 256_000_000
"""Bytes that the cache may use. The queue may use a quarter of it."""

_START_SECONDS = 120.0
_RESTART_SECONDS = 0.5
_API_URL = re.compile(r"https?://[^\s/]+:\d+")
_READY = re.compile(r"\bready:")
_KEPT_LINES = 4_000

NOTHING: Mapping[str, str] = MappingProxyType({})
WORKER = ("-m", "encoder_worker")
_BATCHING_SETTINGS = {"SAM_ENCODE_BATCH": "4", "SAM_WORKER_DECODERS": "2"}
MASKS = "masks"
"""Name of the mask worker, in its links and its log."""

_MASK_WORKER = ("-m", "prompt_api.everything")


class ChaosStack:
    """The running service; a context manager. A worker that dies is started again, unless it is `benched`.

    Attributes:
        cache, queue: the servers.
        scratch: the folder for temporary files of the API.
        url: where the API answers.
        encodes: embeddings that workers wrote, by image id.
        searches: sets of masks that the mask worker wrote, by image id.
        problems: lines of the children's logs that tell of a bug.
    """

    def __init__(self, settings: Mapping[str, str], folder: Path) -> None:
        """
        Args:
            settings: environment variables `SAM_…` for all processes. From this process they inherit only those about
                weights.
            folder: for the servers' files.
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SAM_") or "WEIGHTS" in name}
        self._environ = {**SERVICE_ENVIRON, **kept, "SAM_PORT": "0", **settings}
        self._environ |= {"SAM_API_PROCESSES": str(API_PROCESSES)}
        self._folder = folder
        self._logs: dict[str, deque[str]] = {}
        self._counts: Counter[str] = Counter()
        self._lock = threading.RLock()  # guards the workers against the thread that revives them
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._revive, name="revive workers", daemon=True)
        self._parts = ExitStack()
        self._links: dict[str, Link] = {}
        self._workers: dict[str, Child] = {}
        self._benched: set[str] = set()
        self._commands: dict[str, tuple[str, ...]] = {MASKS: _MASK_WORKER}
        self._settings: dict[str, Mapping[str, str]] = {}  # a worker's own, for as long as a fault lasts
        self._died: dict[str, float] = {}
        self.encodes: Counter[str] = Counter()
        self.searches: Counter[str] = Counter()
        self.problems: list[str] = []
        self.url = ""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._parts.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._watcher.join()
        with thawed(self.cache, self.queue):
            self.set_weather(FAIR)
            stop_all([self._api])
            stop_all(list(self._workers.values()))
        self._parts.close()

    def lines(self, name: str) -> int:
        """How many lines the child has printed, over all restarts."""
        return self._counts[name]

    def log(self, name: str) -> list[str]:
        """The last log lines of `api`, `cache`, `queue`, `masks`, `worker 1`…, including those before a restart."""
        return list(self._logs.get(name, ()))

    def server(self, role: str) -> Server:
        """Return the server of the role `cache` or `queue`."""
        return {"cache": self.cache, "queue": self.queue}[role]

    # The network

    def set_weather(self, weather: Weather, role: str = "") -> None:
        """Change the weather of the links to `cache`, to `queue`, or to both."""
        for link in self._to(role):
            link.set_weather(weather)

    def reset(self, role: str = "") -> None:
        for link in self._to(role):
            link.reset()

    def forget(self, role: str = "") -> None:
        for link in self._to(role):
            link.forget()

    def send_surplus(self, reply: bytes) -> None:
        """Send `reply` on every connection on which nothing was asked."""
        for link in self._to(""):
            link.send_surplus(reply)

    @contextmanager
    def trapped(self, trap: Trap, role: str, process: str = "worker") -> Iterator[None]:
        """Set a trap on the links of both workers for the block, or on those of another process."""
        links = [link for link in self._to(role) if link.name.startswith(process)]
        for link in links:
            link.arm(trap)
        try:
            yield
        finally:
            for link in links:
                link.disarm(trap)

    # The workers

    def kill_worker_of(self, link: Link) -> None:
        """Send SIGKILL to the worker of this link. It is restarted automatically."""
        with self._lock:
            self._workers[_process(link)].signal(signal.SIGKILL)

    def kill_worker(self, number: int) -> None:
        """Send SIGKILL to a worker. It is restarted automatically."""
        with self._lock:
            self._workers[_worker(number)].signal(signal.SIGKILL)

    def worker_pid(self, number: int) -> int:
        """Process id of a worker. It changes when the worker dies."""
        with self._lock:
            return self._workers[_worker(number)].pid

    def decoders(self) -> list[int]:
        """Process ids of those that decode images for the worker `BATCHING`."""
        return decoders_of(self.worker_pid(BATCHING))

    def orphans(self) -> list[int]:
        """Process ids of those that decode images for a worker that has ended."""
        with self._lock:
            workers = {child.pid for child in self._workers.values() if child.exit_code is None}
        return orphans(self._group.id, workers)

    def stop_mask_worker(self) -> Child:
        """Send SIGTERM to the mask worker, and return it. Once it has ended, another one is started."""
        with self._lock:
            child = self._workers[MASKS]
            child.signal(signal.SIGTERM)
        return child

    def freeze_worker(self, number: int) -> None:
        with self._lock:
            self._workers[_worker(number)].signal(signal.SIGSTOP)

    def thaw_worker(self, number: int) -> None:
        with self._lock:
            self._workers[_worker(number)].signal(signal.SIGCONT)

    def bench_worker(self, number: int) -> None:
        """Stop a worker as an operator does, and do not restart it."""
        with self._lock:
            self._benched.add(_worker(number))
            child = self._workers[_worker(number)]
        stop_all([child])

    def replace_worker(
        self, number: int, command: tuple[str, ...] = WORKER, settings: Mapping[str, str] = NOTHING
    ) -> None:
        """Replace a running or benched worker with a new one, which has some settings of its own."""
        self.bench_worker(number)
        name = _worker(number)
        with self._lock:
            self._commands[name] = command
            self._settings[name] = settings
            self._workers[name] = self._spawn_worker(name)
            self._benched.discard(name)

    def wait_for_worker(self, number: int) -> None:
        """Wait until the worker listens."""
        deadline = time.monotonic() + _START_SECONDS
        with self._lock:
            child = self._workers[_worker(number)]
        child.wait_for_line(_READY, deadline)

    @contextmanager
    def alone(self, number: int) -> Iterator[None]:
        """In the block, this is the only worker. The others are stopped first, and started again at the end."""
        others = [other for other in range(1, WORKERS + 1) if other != number]
        for other in others:
            self.bench_worker(other)
        try:
            yield
        finally:
            for other in others:
                self.replace_worker(other)
                self.wait_for_worker(other)

    # The API

    def api_pids(self) -> list[int]:
        """Process ids of the API's serving processes."""
        return children(self._api.pid)

    def kill_api(self) -> None:
        """Send SIGKILL to one API process. The other keeps serving, and the supervisor starts a new one."""
        os.kill(self.api_pids()[0], signal.SIGKILL)

    def _start(self) -> None:
        group = ProcessGroup()
        self._parts.callback(group.close)
        self._group = group
        self.cache = self._server("cache", CACHE_OPTIONS, MEMORY)
        self.queue = self._server("queue", QUEUE_OPTIONS, MEMORY // 4)
        proxy = self._parts.enter_context(Proxy())
        workers = [_worker(number) for number in range(1, WORKERS + 1)]
        for process in ("api", *workers, MASKS):
            for server in (self.cache, self.queue):
                self._links[f"{process} {server.name}"] = proxy.link(f"{process} {server.name}", server.port)
            self._links[f"{process} cache"].watch(self._count)
        for name in (*workers, MASKS):
            self._workers[name] = self._spawn_worker(name)
        self.scratch = Scratch(self._folder / "scratch", self.api_pids)
        self._parts.callback(self.scratch.close)
        self._api = self._spawn("api", "api", ("-m", "prompt_api"), {"TMPDIR": str(self.scratch.folder)})
        deadline = time.monotonic() + _START_SECONDS
        self.url = self._api.wait_for_line(_API_URL, deadline)[0]
        for worker in self._workers.values():
            worker.wait_for_line(_READY, deadline)
        while not self._is_ready():
            self._api.require_running()
            if time.monotonic() > deadline:
                raise StackError(f"the API is not ready in time; its last lines:\n{self._api.tail()}")
            self._closing.wait(0.1)
        self._watcher.start()

    def _server(self, name: str, options: tuple[str, ...], maxmemory: int) -> Server:
        server = Server(
            name, self._folder / name, options, maxmemory=maxmemory, group=self._group, sink=self._sink(name)
        )
        self._parts.callback(server.stop)
        return server

    def _spawn_worker(self, name: str) -> Child:
        own = _BATCHING_SETTINGS if name == _worker(BATCHING) else NOTHING
        settings = {**own, **self._settings.get(name, NOTHING)}
        return self._spawn(name, name, self._commands.get(name, WORKER), settings)

    def _spawn(self, name: str, links: str, command: tuple[str, ...], more: Mapping[str, str] = NOTHING) -> Child:
        environ = (
            self._environ
            | dict(more)
            | {
                "SAM_CACHE_URL": self._links[f"{links} cache"].url,
                "SAM_QUEUE_URL": self._links[f"{links} queue"].url,
            }
        )
        return Child(name, [sys.executable, *command], environ=environ, group=self._group, sink=self._sink(name))

    def _sink(self, name: str) -> Callable[[str], None]:
        lines = self._logs.setdefault(name, deque(maxlen=_KEPT_LINES))

        def take(line: str) -> None:
            lines.append(f"{time.monotonic():.2f} {line}")
            self._counts[name] += 1
            if "unhandled error" in line or "without an HTTP status" in line:
                self.problems.append(f"{name}: {line}")

        return take

    def _to(self, role: str) -> list[Link]:
        return [link for link in self._links.values() if link.name.endswith(role)]

    def _count(self, head: bytes) -> None:
        for image_id in STORED.findall(head):
            self.encodes[image_id.decode()] += 1
        for image_id in FOUND.findall(head):
            self.searches[image_id.decode()] += 1

    def _revive(self) -> None:
        while not self._closing.wait(0.1):
            with self._lock:
                for name, child in self._workers.items():
                    if name in self._benched or child.exit_code is None:
                        self._died.pop(name, None)
                        continue
                    died = self._died.setdefault(name, time.monotonic())
                    if time.monotonic() - died > _RESTART_SECONDS:
                        self._workers[name] = self._spawn_worker(name)
                        del self._died[name]

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _worker(number: int) -> str:
    return f"worker {number}"


def _process(link: Link) -> str:
    return link.name.rpartition(" ")[0]
