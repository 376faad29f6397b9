"""Starts the whole service on one machine, watches it, and stops it."""

from __future__ import annotations

import http.client
import os
import re
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from deploy.local.embedded_valkey import QUEUE, cache_options, start_valkey
from deploy.local.process import Child, ProcessGroup, StackError, stop_all
from deploy.local.weights import fetch_weights
from shared.contract.settings import Settings

_ENCODES = "encoder_worker"
_MASKS = "prompt_api.everything"

START_SECONDS = 180.0
"""Seconds until all processes must be ready. The first start of a model also builds its decoder graph."""

SERVICE_ENVIRON = {"PYTHONUNBUFFERED": "1", "MALLOC_ARENA_MAX": "2", "ORT_DISABLE_TELEMETRY": "1"}
"""Environment of the services' processes, as in the container images. By default glibc's malloc has one arena per
thread, and each keeps the memory that its thread needed once. That looks like a leak, and two arenas are enough under
the GIL. Without the last variable, ONNX Runtime sends telemetry to its maker."""

WORKER_READY = re.compile(r"\bready:")
"""Matches the line that a worker prints when it listens."""

_API_URL = re.compile(r"https?://[^\s/]+:\d+")
_WATCH_SECONDS = 0.2
_FIRST_RESTART_SECONDS = 0.5
_LAST_RESTART_SECONDS = 30.0
_STABLE_SECONDS = 60.0  # after this long a worker's restart delay starts small again


@dataclass(slots=True)
class _Worker:
    child: Child
    module: str
    environ: Mapping[str, str]  # differs from the stack's environment
    delay: float = _FIRST_RESTART_SECONDS
    due: float | None = None  # when it is restarted, in monotonic seconds; None while it runs


class LocalStack:
    """A Valkey for each role, workers of every served model and the API as child processes; a context manager.

    If `SAM_CACHE_URL` or `SAM_QUEUE_URL` is set, no Valkey is started and those are used. A worker that dies is started
    again, with growing pauses. The children always end with this process.
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        workers: int = 1,
        mask_workers: bool = False,
        start_seconds: float = START_SECONDS,
        announce: Callable[[str], None] = lambda _: None,
        forward: Callable[[str, str], None] = lambda _name, _line: None,
    ) -> None:
        """
        Args:
            settings: environment variables that override those of this process. `SAM_PORT` is 0 (a free port) by
                default.
            workers: number of worker processes of the default model. Every other served model has one.
            mask_workers: whether every served model also has a mask worker, which runs everything jobs.
            start_seconds: most seconds that the start may take, without fetching weights.
            announce: called with one sentence after each stage of the start.
            forward: called with (name of the child, line) for each line that a child prints.
        """
        self._environ = {**SERVICE_ENVIRON, **os.environ, "SAM_PORT": "0", **(settings or {})}
        self._worker_count = workers
        self._mask_workers = mask_workers
        self._start_seconds = start_seconds
        self._announce = announce
        self._forward = forward
        self._lock = threading.RLock()  # guards the children, which the watching thread replaces
        self._closing = threading.Event()
        self._failed = threading.Event()
        self._failure = ""
        self._group: ProcessGroup | None = None
        self._valkeys: list[Child] = []
        self._workers: list[_Worker] = []
        self._api: Child | None = None
        self._watcher = threading.Thread(target=self._watch, name="watch the stack", daemon=True)
        self.url = ""
        """URL of the API, without a trailing slash."""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def wait(self) -> None:
        """Block while the service runs.

        Raises:
            StackError: the API or Valkey has ended.
        """
        self._failed.wait()
        raise StackError(self._failure)

    def stop(self) -> None:
        """Stop the API, then the workers, then Valkey, then any processes they left. A second call does nothing."""
        self._closing.set()
        if self._watcher.is_alive():
            self._watcher.join()
        if self._group is None:
            return
        workers = [worker.child for worker in self._workers]
        stages = [[self._api] if self._api else [], workers, self._valkeys]
        try:
            for children in stages:
                stop_all(children)
        finally:
            self._group.close()
            self._group = None
        for children in stages:
            for child in children:
                child.finish_reading()

    @property
    def children(self) -> dict[str, Child]:
        """Children that were started, ended or not, by name: `valkey cache`, `worker 1`, `masks`, `api`, …"""
        with self._lock:
            children = [*self._valkeys, *(worker.child for worker in self._workers), self._api]
        return {child.name: child for child in children if child is not None}

    def _start(self) -> None:
        self._group = ProcessGroup()
        fetch_weights(self._group, self._environ)  # has its own, much longer time-out
        self._announce("weights: in place")
        started = time.monotonic()
        deadline = started + self._start_seconds
        if not (self._environ.get("SAM_CACHE_URL") or self._environ.get("SAM_QUEUE_URL")):
            for role, options in (("cache", cache_options()), ("queue", QUEUE)):
                name = f"valkey {role}"
                child, url = start_valkey(self._group, self._sink(name), deadline, options, name)
                self._valkeys.append(child)
                self._environ[f"SAM_{role.upper()}_URL"] = url
                self._announce(f"{name}: embedded, in memory, at {url}")
        for name, module, environ in self._worker_environs():
            self._workers.append(_Worker(self._spawn(name, module, environ), module, environ))
        self._start_api(deadline)
        self._announce(f"api: ready after {time.monotonic() - started:.1f} s")
        for worker in self._workers:
            worker.child.wait_for_line(WORKER_READY, deadline)
            self._announce(f"{worker.child.name}: ready after {time.monotonic() - started:.1f} s")
        self._watcher.start()

    def _worker_environs(self) -> Iterator[tuple[str, str, Mapping[str, str]]]:
        """Yield the name of each worker, its module, and what its environment has that the stack's has not."""
        for number in range(1, self._worker_count + 1):
            yield f"worker {number}", _ENCODES, {}
        if self._mask_workers:
            yield "masks", _MASKS, {}
        _, *others = Settings.from_env(self._environ).served_models
        for model in others:
            environ = {"SAM_MODEL": model, "SAM_WEIGHTS_PATH": ""}
            yield f"worker of {model}", _ENCODES, environ
            if self._mask_workers:
                yield f"masks of {model}", _MASKS, environ

    def _start_api(self, deadline: float) -> None:
        self._api = self._spawn("api", "prompt_api")
        self.url = self._api.wait_for_line(_API_URL, deadline)[0]
        while not _is_ready(self.url):
            self._api.require_running()
            for worker in self._workers:
                worker.child.require_running()
            if time.monotonic() > deadline:
                raise StackError(f"the API is not ready in time; its last lines:\n{self._api.tail()}")
            self._closing.wait(0.05)

    def _spawn(self, name: str, module: str, environ: Mapping[str, str] | None = None) -> Child:
        assert self._group is not None
        command = [sys.executable, "-m", module]
        environ = {**self._environ, **(environ or {})}
        return Child(name, command, environ=environ, group=self._group, sink=self._sink(name))

    def _sink(self, name: str) -> Callable[[str], None]:
        return lambda line: self._forward(name, line)

    def _watch(self) -> None:
        while not self._closing.wait(_WATCH_SECONDS):
            with self._lock:
                for child in (*self._valkeys, self._api):
                    if child is not None and child.exit_code is not None:
                        self._fail(child)
                        return
                for worker in self._workers:
                    self._revive(worker)

    def _fail(self, child: Child) -> None:
        try:
            child.require_running()
        except StackError as error:
            self._failure = str(error)
        self._failed.set()

    def _revive(self, worker: _Worker) -> None:
        now = time.monotonic()
        if worker.child.exit_code is None:
            return
        if worker.due is None:
            if now - worker.child.started > _STABLE_SECONDS:
                worker.delay = _FIRST_RESTART_SECONDS
            worker.due = now + worker.delay
            worker.delay = min(2 * worker.delay, _LAST_RESTART_SECONDS)
            self._announce(f"{worker.child.name}: ended with status {worker.child.exit_code}, starting it again")
        elif now >= worker.due:
            worker.child = self._spawn(worker.child.name, worker.module, worker.environ)
            worker.due = None


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310 - our own child's address
            answer.read()
            return bool(answer.status == 200)
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False
