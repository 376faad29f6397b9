"""The API on in-memory stand-ins: no Redis, no weights, no sockets."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from io import BytesIO

from flask.testing import FlaskClient
from PIL import Image

from encoder_worker.backends.fake.encoder import FakeEncoder
from encoder_worker.encoding.cut import cut
from prompt_api.everything.job.key import EverythingKey
from prompt_api.everything.job.search import SearchImage
from prompt_api.http.app import create_app
from prompt_api.http.services import Services
from prompt_api.models.fake.decoder import FakeDecoder
from prompt_api.models.interface import LoadedDecoder
from prompt_api.remote_images.fetch import RemoteImages
from prompt_api.service.browser import BrowserDecoding
from prompt_api.wiring import assemble
from shared.contract.keys import EmbeddingKey, image_key, preview_key
from shared.contract.models import FAKE, SAM1, Model
from shared.contract.settings import Settings
from shared.images.preview import preview_of, wants_preview
from shared.images.reading import decode_image
from shared.tensors.embedding import encode_embedding
from tests.support.memory_events import MemoryEvents
from tests.support.memory_queue import MemoryEncodeQueue, MemoryJobQueue
from tests.support.memory_store import MemoryStore

OTHER = replace(FAKE, name="other")
"""A second model, so that tests notice if models are mixed up."""


@dataclass
class World:
    """The API and everything behind it, accessible to a test."""

    client: FlaskClient
    services: Services
    store: MemoryStore
    queue: MemoryEncodeQueue
    events: MemoryEvents
    encodes: list[EmbeddingKey]
    jobs: MemoryJobQueue[EverythingKey]

    def encode_next(self) -> None:
        """Do one job, as a worker does."""

        def encode(key: EmbeddingKey) -> None:
            data = self.store.get(image_key(key.image_id))
            assert data is not None
            rgb = decode_image(data, max_pixels=50_000_000)
            pixels = rgb if key.region is None else cut(rgb, key.region)
            (tensors,) = FakeEncoder().encode([SAM1.frame.resize(pixels)])
            value = encode_embedding(
                key, tensors, specs=SAM1.tensors, dtypes={"embedding": "float16"}, original=rgb.shape[:2]
            )
            if wants_preview(data):
                self.store.put(preview_key(key.image_id), preview_of(rgb), 60)
            self.store.put(key.redis_key, value, 60)
            self.encodes.append(key)

        self.queue.run_next(encode)

    def search_next(self) -> None:
        """Do one everything job, as a mask worker does."""
        self.jobs.run_next(self.search())

    def search(self, model: Model = FAKE) -> SearchImage:
        """What a mask worker does."""
        return SearchImage(
            loaded=LoadedDecoder(model, FakeDecoder()),
            store=self.store,
            hasty=self.store,
            queue=self.jobs,
            encodes=self.queue,
            events=self.events,
            ttl=60,
            patience=0.0,
            max_pixels=50_000_000,
        )

    def ready_image(self, data: bytes, model: Model = FAKE) -> str:
        """Upload and encode an image. Return its id."""
        answer = self.client.post(f"/v1/images?model={model.name}", data=data)
        assert answer.status_code == 202, answer.text
        self.encode_next()
        return str(answer.get_json()["image_id"])


def png(width: int = 120, height: int = 80, colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    """A picture with a square of another colour in its middle."""
    image = Image.new("RGB", (width, height), (20, 90, 160))
    image.paste(colour, (width // 4, height // 4, width // 2, height // 2))
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def large_png() -> bytes:
    """A picture of 1600x1000 with a square of 120 pixels around (640, 375), which a region shows better."""
    image = Image.new("RGB", (1600, 1000), (20, 90, 160))
    image.paste((200, 30, 30), (580, 315, 700, 435))
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def new_world(
    browser: BrowserDecoding | None = None,
    *,
    store: MemoryStore | None = None,
    decoder: FakeDecoder | None = None,
    background: Executor | None = None,
    remote: RemoteImages | None = None,
    clock: Callable[[], float] = time.monotonic,
    **overrides: object,
) -> World:
    """Return a new world.

    Args:
        store: the store of another world, for replicas that share one Redis.
        decoder: the decoder for every model.
        background: fetches images from Label Studio ahead of time.
        remote: fetches images by URL; None makes what the settings say.
        clock: measures how long a known owner is remembered.
        overrides: settings by field name.
    """
    settings = Settings(model="fake", models="other", **overrides)  # type: ignore[arg-type]
    store, queue, events = store or MemoryStore(), MemoryEncodeQueue(max_queued=settings.max_queued), MemoryEvents()
    decoder = decoder or FakeDecoder()
    jobs: MemoryJobQueue[EverythingKey] = MemoryJobQueue(max_queued=settings.max_everything)
    services = assemble(
        settings,
        models=(FAKE, OTHER),
        decoders={"fake": decoder, "other": decoder},
        decoder_files={},
        store=store,
        queue=queue,
        everything_jobs=jobs,
        events=events,
        browser=browser,
        background=background,
        remote=remote,
        clock=clock,
    )
    return World(create_app(services).test_client(), services, store, queue, events, [], jobs)
