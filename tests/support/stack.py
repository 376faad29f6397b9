"""The running service, with access to its logs and processes, so that tests can kill and restart them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

from deploy.local.process import StackError, stop_all
from deploy.local.stack import START_SECONDS, WORKER_READY, LocalStack
from shared.contract.settings import Settings

_KEPT_LINES = 5_000
_LOOK_SECONDS = 0.1
_PATIENCE = 60.0


class ObservedStack(LocalStack):
    """A `LocalStack` for tests and benches."""

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        workers: int = 1,
        mask_workers: bool = False,
        start_seconds: float = START_SECONDS,
        announce: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(
            settings,
            workers=workers,
            mask_workers=mask_workers,
            start_seconds=start_seconds,
            announce=announce,
            forward=self._keep,
        )
        self._logs: dict[str, deque[str]] = {}
        self._news = threading.Condition()

    @property
    def valkey_url(self) -> str:
        """URL of the Redis that is the cache, embedded or given."""
        return Settings.from_env(self._environ).cache_url

    @property
    def queue_url(self) -> str:
        """URL of the queue role's Redis, embedded or given."""
        return Settings.from_env(self._environ).effective_queue_url

    def log(self, name: str) -> list[str]:
        """The last lines of `api`, `valkey cache` or `worker 1`…, over all its restarts."""
        return list(self._logs.get(name, ()))

    def lines(self, name: str, *parts: str) -> list[str]:
        """Those lines of the log of `name` that have all `parts`, once there is one.

        Raises:
            StackError: there is none within a minute.
        """
        found: list[str] = []

        def found_some() -> bool:
            found[:] = [line for line in self.log(name) if all(part in line for part in parts)]
            return bool(found)

        with self._news:
            if not self._news.wait_for(found_some, _PATIENCE):
                raise StackError(f"no line of {name} has {parts}:\n" + "\n".join(self.log(name)[-30:]))
        return found

    def pids(self, name: str) -> list[int]:
        """Process ids of the running children whose name starts with `name`."""
        found = self.children.items()
        return [child.pid for known, child in found if known.startswith(name) and child.exit_code is None]

    def restart_api(self) -> None:
        """Stop the API as an operator does and start it on the same port. Returns once it is ready."""
        with self._lock:
            stop_all([self.children["api"]])
            self._environ["SAM_PORT"] = self.url.rpartition(":")[2]
            self._start_api(time.monotonic() + self._start_seconds)

    def kill_worker(self, number: int = 1) -> None:
        """Send SIGKILL to a worker, like a crash. The stack restarts it; see `wait_for_workers`."""
        self.children[f"worker {number}"].kill()

    def wait_for_workers(self) -> None:
        """Return once every worker runs and listens.

        Raises:
            StackError: they did not start in time.
        """
        deadline = time.monotonic() + self._start_seconds
        while True:
            workers = [child for name, child in self.children.items() if name.startswith("worker")]
            if all(worker.exit_code is None for worker in workers):
                for worker in workers:
                    worker.wait_for_line(WORKER_READY, deadline)
                return
            if time.monotonic() > deadline:
                raise StackError("a worker is not back in time; its last lines:\n" + workers[0].tail())
            time.sleep(_LOOK_SECONDS)

    def _keep(self, name: str, line: str) -> None:
        with self._news:
            self._logs.setdefault(name, deque(maxlen=_KEPT_LINES)).append(line)
            self._news.notify_all()
