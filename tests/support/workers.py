"""A real worker process that a test starts and stops, beside a stack that has none of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from threading import Event, Thread
from types import TracebackType
from typing import Self

from deploy.local.process import ROOT
from deploy.local.stack import SERVICE_ENVIRON, WORKER_READY


class WorkerProcess:
    """`python -m encoder_worker` for the model `fake`; a context manager that ends it."""

    def __init__(self, cache_url: str, queue_url: str) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SAM_")}
        urls = {"SAM_CACHE_URL": cache_url, "SAM_QUEUE_URL": queue_url}
        self._environ = {**environ, **SERVICE_ENVIRON, "SAM_MODEL": "fake", **urls}
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def start(self) -> None:
        """Start a worker, and return when it listens."""
        command = [sys.executable, "-m", "encoder_worker"]
        process = subprocess.Popen(command, env=self._environ, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        self._process = process
        ready, said = Event(), []

        def read() -> None:
            assert process.stderr is not None
            with process.stderr as lines:
                for line in lines:
                    said.append(line)
                    if WORKER_READY.search(line):
                        ready.set()
            ready.set()

        Thread(target=read, name="read the worker", daemon=True).start()
        ready.wait()
        assert process.poll() is None, "".join(said)

    def send(self, number: int) -> None:
        """Send a signal to the worker, and return when it has ended."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait()
