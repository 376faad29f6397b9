"""Where the mask worker is put together."""

from __future__ import annotations

from dataclasses import replace

from prompt_api.everything.job.key import everything_queue
from prompt_api.everything.job.queue import RqEverythingQueue
from prompt_api.everything.job.search import SearchImage
from prompt_api.everything.job.worker import MaskWorker
from prompt_api.metrics.mask_worker import MaskWorkerMetrics
from prompt_api.models.interface import LoadedDecoder
from prompt_api.models.load import load_decoder
from shared.contract.models import find_model
from shared.contract.settings import Settings
from shared.events.redis_events import RedisEvents
from shared.host.cores import usable_cores
from shared.observe.tracing import NO_TRACER, Tracer
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.connections import cache_client, request_client, worker_client
from shared.rq_worker.lifetime import exit_on_signals, keep_working
from shared.store.patient_store import PatientStore
from shared.store.redis_store import RedisStore
from shared.weights.catalogue import known_models

_STORE_TIMEOUT = 5.0
"""Seconds one operation on the cache may take: longer than in the API, where a client waits for the answer."""

_STORE_PATIENCE = 30.0
"""Seconds that a job waits for a cache that is out of reach before it is put back. A failover ends sooner."""


def load_model(settings: Settings) -> LoadedDecoder:
    """Return the model that the settings name, with its decoder.

    Raises:
        StartupError: the catalogue is wrong, or there are no weights for the model.
        ModelNotFound: there is no such model.
    """
    model = find_model(settings.model, known_models(settings))
    return load_decoder(model, replace(settings, decoder_threads=1))  # it decodes in several threads, one batch in each


def serve(
    settings: Settings,
    loaded: LoadedDecoder,
    tracer: Tracer = NO_TRACER,
    metrics: MaskWorkerMetrics | None = None,
) -> None:
    """Run everything jobs until SIGTERM or SIGINT. A job that runs may go on for 15 s, then it is put back.

    Raises:
        StoreUnavailable: Redis stayed out of reach.
    """
    metrics = metrics or MaskWorkerMetrics(loaded.model.name)
    store = RedisStore(cache_client(settings.cache_url, _STORE_TIMEOUT))
    client = request_client(settings.effective_queue_url, settings.redis_timeout)
    events, queue = RedisEvents(client), RqEverythingQueue(client, settings)
    search = SearchImage(
        loaded=loaded,
        store=PatientStore(store, _STORE_PATIENCE),
        hasty=store,
        queue=queue,
        encodes=RqEncodeQueue(client, settings),
        events=events,
        ttl=settings.everything_ttl,
        patience=settings.everything_wait,
        max_pixels=settings.max_image_pixels,
        threads=settings.everything_threads or usable_cores(),
        metrics=metrics,
    )
    exit_on_signals()
    url = settings.effective_queue_url
    try:
        keep_working(
            lambda: MaskWorker(
                everything_queue(loaded.model.name, loaded.model.weights_digest),
                connection=worker_client(url),
                search=search,
                events=events,
                tracer=tracer,
                metrics=metrics,
            ),
            {"cache": store.ping, "queue": queue.ping},
        )
    finally:
        events.close()
