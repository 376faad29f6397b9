"""The one place where the API's parts are put together."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import numpy as np

from prompt_api.decoder.interface import Decoder, Prompt
from prompt_api.decoder.load import load_decoder
from prompt_api.masks.encode import encode_masks
from prompt_api.masks.interface import MaskFormat
from prompt_api.service import Services
from prompt_api.service.embeddings import EmbeddingCache
from prompt_api.service.images import ImageService
from prompt_api.service.masks import MaskService
from prompt_api.service.refinement import Refinement
from shared.connections import request_client
from shared.errors import ConfigurationError, ModelNotFound
from shared.events import Events, RedisEvents
from shared.models import EMBEDDING_SHAPE, IMAGE_SIZE, Model, find_model
from shared.queue import EncodeQueue
from shared.rq_queue import RqEncodeQueue
from shared.settings import Settings
from shared.store import RedisStore, Store

UPLOADS = 8
"""Uploads one process holds in memory at once."""


@contextmanager
def wired_services(settings: Settings) -> Iterator[Services]:
    """The API's services over Redis, with the decoders of every served model loaded.

    Raises:
        ConfigurationError, WeightsError: the process must not start.
    """
    loaded = [load_decoder(model, settings) for model in _served(settings)]
    decoders = {one.model.name: one.decoder for one in loaded}
    _warm_up(decoders.values())
    store = RedisStore(request_client(settings.cache_url, settings.redis_timeout))
    queue_client = request_client(settings.effective_queue_url, settings.redis_timeout)
    forget: list[Callable[[str], None]] = []

    def on_event(topic: tuple[str, str], status: str) -> None:
        if status == "deleted":
            for action in forget:
                action(topic[0])

    events = RedisEvents(queue_client, on_event)
    services = assemble(
        settings,
        models=tuple(one.model for one in loaded),
        decoders=decoders,
        decoder_files={one.model.name: one.graph for one in loaded if one.graph is not None},
        store=store,
        queue=RqEncodeQueue(queue_client, settings),
        events=events,
    )
    forget.append(services.masks.forget)
    events.start()
    try:
        yield services
    finally:
        events.close()


def assemble(
    settings: Settings,
    *,
    models: tuple[Model, ...],
    decoders: Mapping[str, Decoder[Any]],
    decoder_files: Mapping[str, Path],
    store: Store,
    queue: EncodeQueue,
    events: Events,
) -> Services:
    """`Services` around the given seams; tests pass in-memory ones."""
    images = ImageService(store=store, queue=queue, events=events, settings=settings)
    embeddings = EmbeddingCache(store=store, capacity=settings.embedding_lru_bytes)
    refinement = Refinement(store=store, capacity=settings.logits_lru_bytes, ttl=settings.mask_token_ttl)
    masks = MaskService(
        images=images,
        embeddings=embeddings,
        refinement=refinement,
        decoders=decoders,
        concurrency=max(1, (os.cpu_count() or 1) // settings.decoder_threads),
    )
    return Services(
        settings=settings,
        models={model.name: model for model in models},
        decoder_files=decoder_files,
        images=images,
        embeddings=embeddings,
        masks=masks,
        checks={"cache": store.ping, "queue": queue.ping},
        uploads=BoundedSemaphore(UPLOADS),
        # Half of the threads may wait; the other half always answers.
        waiters=BoundedSemaphore(max(1, settings.api_threads // 2)),
    )


def _served(settings: Settings) -> tuple[Model, ...]:
    try:
        return tuple(find_model(name) for name in settings.served_models)
    except ModelNotFound as error:
        raise ConfigurationError(f"SAM_MODEL or SAM_MODELS: {error.detail}") from None


def _warm_up(decoders: Iterable[Decoder[Any]]) -> None:
    """Answer one prompt with each decoder, so that the first client does not wait for its sessions to be made."""
    prompt = Prompt(points=np.zeros((1, 2), np.float32), labels=np.ones(1, np.int64))
    for decoder in decoders:
        image = decoder.prepare(np.zeros(EMBEDDING_SHAPE, np.float32), (IMAGE_SIZE, IMAGE_SIZE))
        (masks,) = decoder.decode(image, [prompt], multimask=True)
        encode_masks(masks.logits, (1, 1), MaskFormat.RLE)
    # What lives now lives as long as the process: keep it out of every later garbage collection.
    gc.collect()
    gc.freeze()
