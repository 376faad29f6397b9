"""Puts the parts of the API together. No other module does this."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

import numpy as np
import redis

from prompt_api.access.owners import Owners
from prompt_api.access.policy import access_policy, image_hosts_namespace, label_studio_namespace
from prompt_api.everything.job.key import everything_queue
from prompt_api.everything.job.queue import EverythingQueue, RqEverythingQueue
from prompt_api.http.answer_budget import AnswerBudget
from prompt_api.http.services import Services
from prompt_api.integrations.carried_images import CarriedImages
from prompt_api.integrations.finish import Finish
from prompt_api.integrations.label_studio.backend import LabelStudioBackend
from prompt_api.integrations.label_studio.credentials import credentials
from prompt_api.integrations.label_studio.instance import LabelStudioInstance
from prompt_api.integrations.label_studio.pictures import TaskPictures
from prompt_api.integrations.label_studio.pre_annotations import PreAnnotations
from prompt_api.integrations.recent import RecentImages
from prompt_api.integrations.samapi.server import SamapiServer
from prompt_api.integrations.x_anylabeling.server import AnyLabelingServer
from prompt_api.masks.encode import encode_masks
from prompt_api.masks.interface import MaskFormat
from prompt_api.metrics.counting import ApiMetrics
from prompt_api.metrics.queue_load import QueueLoad, queue_load
from prompt_api.metrics.scrape import Scrape
from prompt_api.models.browser_runtime import locate_runtime
from prompt_api.models.interface import Decoder, DecoderForm, LoadedDecoder, Prompt
from prompt_api.models.load import load_decoder
from prompt_api.remote_images.allowed import parse_allowed
from prompt_api.remote_images.fetch import RemoteImages
from prompt_api.remote_images.s3 import s3_from
from prompt_api.service.browser import BrowserDecoding
from prompt_api.service.embeddings import EmbeddingCache
from prompt_api.service.everything import EverythingService
from prompt_api.service.features import FeatureCache
from prompt_api.service.images import ImageService, record_ttl
from prompt_api.service.live_workers import LiveWorkers
from prompt_api.service.masks import MaskService
from prompt_api.service.refinement import Refinement
from prompt_api.service.similar import SimilarService
from prompt_api.service.turns import Turns
from prompt_api.serving.temporary_files import require_room
from shared.contract.errors import ConfigurationError, ModelNotFound, StoreUnavailable
from shared.contract.models import Model, find_model
from shared.contract.settings import Settings
from shared.events.interface import Events, Topic
from shared.events.redis_events import RedisEvents
from shared.host.cores import usable_cores
from shared.queue.interface import EncodeQueue
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.cluster import Cluster
from shared.redis.connections import cache_client, request_client
from shared.store.interface import StoreWithSets
from shared.store.redis_store import RedisStore
from shared.weights.catalogue import known_models

UPLOADS = 8
"""Most uploads that one process holds in memory at once."""


@contextmanager
def wired_services(settings: Settings, metrics: ApiMetrics | None = None) -> Iterator[Services]:
    """Yield the API's services on Redis, with the decoder of every served model loaded. Close them afterwards.

    Args:
        metrics: the metrics of this process; None for a process that shares no metrics with others.

    Raises:
        ConfigurationError: a setting or the catalogue is wrong, so the process must not start.
        WeightsError: the weights cannot be used, so the process must not start.
    """
    metrics = metrics or ApiMetrics()

    def client(role: str, url: str) -> redis.Redis:
        return request_client(url, settings.redis_timeout, breaker_changed=metrics.breaker(role))

    queue_client = client("queue", settings.effective_queue_url)
    cache = cache_client(settings.cache_url, settings.redis_timeout, breaker_changed=metrics.breaker("cache"))
    # Rate limits have their own client, so that counting does not wait for the transfer of images. `limits` uses two
    # keys in one operation, which a cluster does not allow. So with a cluster it counts in the queue's Redis, which is
    # never a cluster.
    counting = client("rates", settings.effective_queue_url if isinstance(cache, Cluster) else settings.cache_url)
    queue = RqEncodeQueue(queue_client, settings)
    with suppress(StoreUnavailable):  # Redis may be away for now; then /readyz says so
        queue.ping()
    loaded = [load_decoder(model, settings) for model in _served(settings)]
    decoders = {one.model.name: one.decoder for one in loaded}
    for one in loaded:
        _warm_up(one)
    _settle_memory()
    store = RedisStore(cache)

    services: Services  # assigned below; no event arrives before `events.start`

    def on_event(topic: Topic, status: str) -> None:
        if status in ("deleted", "released"):
            services.access.owners.forget(topic[0])
        if status == "deleted":
            services.masks.forget(topic[0])
            services.similar.forget(topic[0])

    def on_gap() -> None:
        services.access.owners.doubt()
        services.masks.doubt()

    events = RedisEvents(queue_client, on_event, on_gap)
    services = assemble(
        settings,
        models=tuple(one.model for one in loaded),
        decoders=decoders,
        decoder_files={one.model.name: one.files for one in loaded if one.files},
        browser=BrowserDecoding(
            {one.model.name: one.split for one in loaded if one.split is not None}, lambda: locate_runtime(settings)
        ),
        store=store,
        queue=queue,
        everything_jobs=RqEverythingQueue(queue_client, settings),
        events=events,
        counting=counting,
        metrics=metrics,
        queue_load=partial(queue_load, queue_client),
        everything_load=partial(queue_load, queue_client, name_of=everything_queue),
    )
    events.start()
    services.browser.start()
    services.workers.start()
    try:
        yield services
    finally:
        services.workers.close()
        services.label_studio.close()
        events.close()
        for connected in (queue_client, cache, counting):
            connected.close()


def assemble(
    settings: Settings,
    *,
    models: tuple[Model, ...],
    decoders: Mapping[str, Decoder[Any]],
    decoder_files: Mapping[str, Mapping[DecoderForm, Path]],
    store: StoreWithSets,
    queue: EncodeQueue,
    everything_jobs: EverythingQueue,
    events: Events,
    counting: redis.Redis | None = None,
    browser: BrowserDecoding | None = None,
    metrics: ApiMetrics | None = None,
    queue_load: Callable[[Model], QueueLoad] | None = None,
    everything_load: Callable[[Model], QueueLoad] | None = None,
    remote: RemoteImages | None = None,
    background: Executor | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Services:
    """Build `Services` from the given parts. Tests pass in-memory ones.

    Args:
        counting: the Redis that counts requests for rate limits; None counts them in this process only.
        browser: the files that decoding in browsers needs; None if browsers cannot decode.
        metrics: the metrics of this process; None for a process that shares no metrics with others.
        queue_load: returns the load of a model's queue; None leaves it out of the metrics.
        everything_load: the same for its everything jobs.
        remote: fetches images by URL; None makes what the settings say.
        background: fetches images from Label Studio ahead of time; None makes new threads for it.
        clock: the clock for how long a known owner of an image, and a count of workers, is trusted, in seconds.
    """
    metrics = metrics or ApiMetrics()
    access = access_policy(settings, sets=store, owners_ttl=record_ttl(settings), client=counting, clock=clock)
    workers = LiveWorkers(queue, models, clock=clock)
    images = ImageService(
        store=store,
        queue=queue,
        events=events,
        owners=access.owners,
        settings=settings,
        metrics=metrics,
        workers=workers,
        models=models,
    )
    embeddings = EmbeddingCache(
        store=store,
        capacity=settings.embedding_lru_bytes,
        metrics=metrics,
        max_pixels=settings.max_image_pixels,
    )
    refinement = Refinement(
        store=store, capacity=settings.logits_lru_bytes, ttl=settings.mask_token_ttl, changed=metrics.lru("logits")
    )
    turns = Turns(max(1, usable_cores() // settings.decoder_threads), large=max(1, settings.api_threads // 2))
    masks = MaskService(
        images=images,
        embeddings=embeddings,
        refinement=refinement,
        decoders=decoders,
        turns=turns,
        metrics=metrics,
    )
    similar = SimilarService(
        images=images,
        embeddings=embeddings,
        features=FeatureCache(
            embeddings=embeddings, capacity=settings.feature_lru_bytes, changed=metrics.lru("features")
        ),
        refinement=refinement,
        decoders=decoders,
        owners=access.owners,
        turns=turns,
        metrics=metrics,
    )
    everything = EverythingService(
        images=images, store=store, queue=everything_jobs, events=events, settings=settings, workers=workers
    )
    checks = {"cache": store.ping, "queue": queue.ping, "events": events.ping}
    # At most half of the threads may wait. The others are always free to answer.
    waiters = BoundedSemaphore(max(1, settings.api_threads // 2))
    remote = remote or remote_images(settings)
    by_name = {model.name: model for model in models}
    carried = CarriedImages(images=images, masks=masks, owners=access.owners, recent=RecentImages(), waiters=waiters)
    return Services(
        settings=settings,
        models=by_name,
        decoder_files=decoder_files,
        images=images,
        embeddings=embeddings,
        masks=masks,
        everything=everything,
        similar=similar,
        access=access,
        browser=browser or BrowserDecoding({}, lambda: locate_runtime(settings)),
        checks=checks | {"temporary files": partial(require_room, settings.max_upload_bytes)},
        workers=workers,
        metrics=metrics,
        scrape=Scrape(metrics, models, checks, queue_load, everything_load),
        remote=remote,
        label_studio=_label_studio(
            settings,
            _label_studio_model(settings, models),
            images,
            masks,
            access.owners,
            everything=everything,
            remote=remote,
            waiters=waiters,
            background=background,
        ),
        x_anylabeling=AnyLabelingServer(models=by_name, images=carried, finish=Finish.of(settings)),
        samapi=SamapiServer(models=by_name, images=carried, finish=Finish.of(settings)),
        uploads=BoundedSemaphore(UPLOADS),
        waiters=waiters,
        answers=AnswerBudget(),
    )


def remote_images(settings: Settings) -> RemoteImages:
    """Return what fetches images by URL.

    Raises:
        ConfigurationError: a setting, or a variable of AWS, is malformed or missing.
    """
    allowed = parse_allowed(settings.image_hosts)
    return RemoteImages(
        allowed,
        max_bytes=settings.max_upload_bytes,
        s3=s3_from(os.environ) if allowed.buckets else None,
        only_for=image_hosts_namespace(settings, with_credentials=bool(allowed.buckets)),
    )


def _label_studio(
    settings: Settings,
    model: Model,
    images: ImageService,
    masks: MaskService,
    owners: Owners,
    *,
    everything: EverythingService,
    remote: RemoteImages,
    waiters: BoundedSemaphore,
    background: Executor | None,
) -> LabelStudioBackend:
    url, token = settings.label_studio_url, settings.label_studio_token
    aliases = [alias.strip() for alias in settings.label_studio_aliases.split(",") if alias.strip()]
    most = settings.max_upload_bytes
    instance = LabelStudioInstance(url, credentials(token), max_bytes=most, aliases=aliases) if url else None
    pictures = TaskPictures(
        images=images,
        model=model,
        instance=instance,
        remote=remote,
        fetches_for=label_studio_namespace(settings),
        recent=RecentImages(),
        background=background,
    )
    finish = Finish.of(settings)
    pre_annotations = None
    if settings.label_studio_everything == "true":
        pre_annotations = PreAnnotations(
            everything=everything, owners=owners, pictures=pictures, model=model, waiters=waiters, finish=finish
        )
    return LabelStudioBackend(
        images=images,
        masks=masks,
        owners=owners,
        pictures=pictures,
        model=model,
        waiters=waiters,
        regions_above=settings.label_studio_regions_above,
        finish=finish,
        pre_annotations=pre_annotations,
    )


def _label_studio_model(settings: Settings, models: tuple[Model, ...]) -> Model:
    name = settings.label_studio_model or models[0].name
    for model in models:
        if model.name == name:
            return model
    served = ", ".join(model.name for model in models)
    raise ConfigurationError(f"SAM_LABEL_STUDIO_MODEL={name}: no such model is served; served models: {served}")


def _served(settings: Settings) -> tuple[Model, ...]:
    try:
        known = known_models(settings)
        return tuple(find_model(name, known) for name in settings.served_models)
    except ModelNotFound as error:
        raise ConfigurationError(f"SAM_MODEL or SAM_MODELS: {error.detail}") from None


def _warm_up(loaded: LoadedDecoder) -> None:
    """Answer two prompts with the decoder, so that the first client does not wait until its sessions are made."""
    prompt = Prompt(points=np.zeros((1, 2), np.float32), labels=np.ones(1, np.int64))
    decoder, architecture = loaded.decoder, loaded.model.architecture
    side = architecture.frame.side
    image = decoder.prepare(
        {spec.name: np.zeros(spec.shape, np.float32) for spec in architecture.tensors}, (side, side)
    )
    for _ in range(2):  # the first prompt on an image runs other code than the next ones
        (masks,) = decoder.decode(image, [prompt], multimask=True)
    encode_masks(decoder.mask_runs, masks.logits, (1, 1), MaskFormat.RLE)


def _settle_memory() -> None:
    """Exclude all current objects from later garbage collections, because they live as long as the process."""
    gc.collect()
    gc.freeze()
