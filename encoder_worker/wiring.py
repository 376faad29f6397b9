"""Where the worker is put together, and the loop that keeps it running through restarts of Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import cast

from encoder_worker.backends.load import load_encoder
from encoder_worker.decoding.decoder import Decoder, DecoderInProcess
from encoder_worker.decoding.processes import DecodingProcesses, processes_for
from encoder_worker.encoding.decode_room import DecodeRoom
from encoder_worker.encoding.encode import EncodeImage
from encoder_worker.encoding.encoder import Encoder
from encoder_worker.encoding.pictures import DecodedPictures
from encoder_worker.encoding.pipeline import EncodePipeline
from encoder_worker.metrics.counting import WorkerMetrics
from encoder_worker.rq.batch_worker import BatchWorker
from encoder_worker.rq.worker import EncodeWorker
from shared.contract.keys import queue_name
from shared.contract.models import StoredAs, find_model
from shared.contract.settings import Settings
from shared.events.redis_events import RedisEvents
from shared.images.reading import most_decoding_bytes
from shared.observe.tracing import NO_TRACER, Tracer
from shared.queue.rq_queue import RqEncodeQueue
from shared.redis.connections import cache_client, request_client, worker_client
from shared.rq_worker.lifetime import exit_on_signals, keep_working
from shared.rq_worker.watchdog import deadline
from shared.store.patient_store import PatientStore
from shared.store.redis_store import RedisStore
from shared.weights.catalogue import known_models

_STORE_TIMEOUT = 5.0
"""Seconds one operation on the cache may take: longer than in the API, where a client waits for the answer."""

_STORE_PATIENCE = 30.0
"""Seconds that an encoding waits for a cache that is out of reach before it is put back. A failover ends sooner."""


def prepare_encoder(settings: Settings) -> Encoder:
    """The encoder that the settings name, ready.

    Raises:
        StartupError: the catalogue is wrong, or there are no weights for the model.
        ModelNotFound: there is no such model.
        EncodeFailed: it cannot run.
    """
    return load_encoder(find_model(settings.model, known_models(settings)), settings)


def serve(
    settings: Settings, encoder: Encoder, tracer: Tracer = NO_TRACER, metrics: WorkerMetrics | None = None
) -> None:
    """Encode jobs until SIGTERM or SIGINT. A job that runs is finished first.

    A worker that lost Redis is replaced by a new one, which takes over the loaded encoder.

    Raises:
        StoreUnavailable: Redis stayed out of reach.
        DeviceLost: the encoder's device has stopped working. The jobs that ran are back in the queue.
    """
    store = RedisStore(cache_client(settings.cache_url, _STORE_TIMEOUT))
    queue = request_client(settings.effective_queue_url, settings.redis_timeout)
    events = RedisEvents(queue)
    metrics = metrics or WorkerMetrics()
    pictures = DecodedPictures(settings.worker_picture_bytes, settings.worker_picture_ttl, metrics=metrics)
    exit_on_signals()
    with closing(pictures), decoder_for(encoder, settings, metrics) as decoder:
        encode = EncodeImage(
            store=PatientStore(store, _STORE_PATIENCE),
            encoder=encoder,
            events=events,
            dtype=cast(StoredAs, settings.embedding_dtype),
            ttl=settings.embedding_ttl,
            max_pixels=settings.max_image_pixels,
            metrics=metrics,
            decoder=decoder,
            room=DecodeRoom(most_decoding_bytes(settings.max_image_pixels, settings.max_upload_bytes)),
            pictures=pictures,
        )
        with _worker_maker(encode, settings, tracer) as make_worker:
            keep_working(make_worker, {"cache": store.ping, "queue": RqEncodeQueue(queue, settings).ping})


@contextmanager
def decoder_for(encoder: Encoder, settings: Settings, metrics: WorkerMetrics | None = None) -> Iterator[Decoder]:
    """Gives what decodes images for the encoder.

    Processes of their own keep an encoder busy that takes batches. One that takes one image at a time waits for each
    image anyway, so there they would cost memory for nothing.
    """
    if encoder.batch == 1:
        yield DecoderInProcess()
        return
    metrics = metrics or WorkerMetrics()
    count, patience = processes_for(settings), settings.job_timeout
    with closing(DecodingProcesses(count, patience=patience, on_death=metrics.decoder_died)) as processes:
        metrics.decoders_are(lambda: processes.pids)
        yield processes


@contextmanager
def _worker_maker(encode: EncodeImage, settings: Settings, tracer: Tracer) -> Iterator[Callable[[], EncodeWorker]]:
    """Gives a function that makes workers of the kind that suits the encoder, each with a connection of its own."""
    model = encode.encoder.model
    queue = queue_name(model.name, model.weights_digest)
    url = settings.effective_queue_url
    if encode.encoder.batch == 1:
        yield lambda: EncodeWorker(
            queue,
            connection=worker_client(url),
            encode=encode,
            events=encode.events,
            tracer=tracer,
            metrics=encode.metrics,
        )
        return
    pipeline = EncodePipeline(encode)
    try:
        yield lambda: BatchWorker(
            queue,
            connection=worker_client(url),
            pipeline=pipeline,
            events=encode.events,
            tracer=tracer,
            metrics=encode.metrics,
        )
    finally:
        with deadline(settings.job_timeout):  # one of its threads may hang
            pipeline.close()
