"""An API in this process with SAM 2's decoder of drawn weights, on a real cache, as `sam2_recorded` knows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flask.testing import FlaskClient

from prompt_api.http.app import create_app
from prompt_api.models.load import load_decoder
from prompt_api.service.browser import BrowserDecoding
from prompt_api.wiring import assemble
from shared.contract.keys import EmbeddingKey
from shared.contract.models import SAM2, Checkpoint, Model
from shared.contract.settings import Settings
from shared.redis.connections import request_client
from shared.store.redis_store import RedisStore
from shared.tensors.embedding import encode_embedding
from shared.weights.decoder_file import decoder_path, write_decoder
from tests.support.memory_events import MemoryEvents
from tests.support.memory_queue import MemoryEncodeQueue, MemoryJobQueue
from tests.support.sam2_material import drawn_tensors, drawn_weights
from tests.support.sam2_recorded import Image, Record

MODEL = Model(
    name="sam2_test",
    title="SAM 2 with drawn weights",
    npm_package=None,
    npm_sha256=None,
    encoder=None,
    decoder=None,
    architecture=SAM2,
    checkpoint=Checkpoint("drawn.pt", "https://example.org/drawn.pt", 1, "d" * 64, "tiny"),
)


@dataclass(frozen=True, slots=True)
class DrawnService:
    """The API, whose only model is `MODEL`, and its cache."""

    client: FlaskClient
    store: RedisStore
    model: Model

    def put(self, image_id: str, image: Image) -> None:
        """Write the drawn embedding of `image` into the cache, as a worker would, in float32."""
        key = EmbeddingKey.of(image_id, self.model)
        value = encode_embedding(
            key,
            drawn_tensors(image.seed),
            specs=SAM2.tensors,
            dtypes={spec.name: "float32" for spec in SAM2.tensors},
            original=image.original,
        )
        self.store.put(key.redis_key, value, 600)


@contextmanager
def drawn_service(cache_url: str, folder: Path, record: Record) -> Iterator[DrawnService]:
    """Run the API on an emptied cache.

    Args:
        folder: for the decoder's weights.
    """
    settings = Settings(model=MODEL.name, cache_url=cache_url, weights_dir=str(folder))
    write_decoder(decoder_path(MODEL, settings), MODEL, drawn_weights(record.weights_seed))
    loaded = load_decoder(MODEL, settings)
    assert loaded.files
    with request_client(settings.cache_url, 5) as redis:
        redis.flushdb()
        store = RedisStore(redis)
        services = assemble(
            settings,
            models=(loaded.model,),
            decoders={MODEL.name: loaded.decoder},
            decoder_files={MODEL.name: loaded.files},
            store=store,
            queue=MemoryEncodeQueue(max_queued=settings.max_queued),
            everything_jobs=MemoryJobQueue(),
            events=MemoryEvents(),
            browser=BrowserDecoding({}, Path),
        )
        yield DrawnService(create_app(services).test_client(), store, loaded.model)
