"""The parts of the worker in the checkout that PYTHONPATH names: this commit's, or those of 573199c (2026-11-23).

That commit has other modules and fewer of them.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any


def _found(*places: str) -> Any:
    """Return the first object of these that there is, each written as `module:name`."""
    for place in places:
        name_of_module, _, name = place.partition(":")
        try:
            module = import_module(name_of_module)
        except ImportError:
            continue
        # The project may also be installed from another checkout, whose modules are then found too.
        if hasattr(module, name) and Path(str(module.__file__)).is_relative_to(Path.cwd()):
            return getattr(module, name)
    return None


EncodeImage = _found("encoder_worker.encoding.encode:EncodeImage", "encoder_worker.encode:EncodeImage")
EncodePipeline = _found("encoder_worker.encoding.pipeline:EncodePipeline", "encoder_worker.pipeline:EncodePipeline")
BatchWorker = _found("encoder_worker.rq.batch_worker:BatchWorker", "encoder_worker.batch_worker:BatchWorker")
RqEncodeQueue = _found("shared.queue.rq_queue:RqEncodeQueue", "shared.rq_queue:RqEncodeQueue")
RedisStore = _found("shared.store.redis_store:RedisStore", "shared.store:RedisStore")
MemoryStore = _found("tests.support.memory_store:MemoryStore", "shared.store:MemoryStore")
RedisEvents = _found("shared.events.redis_events:RedisEvents", "shared.events:RedisEvents")
MemoryEvents = _found("tests.support.memory_events:MemoryEvents", "shared.events:MemoryEvents")
Settings = _found("shared.contract.settings:Settings", "shared.settings:Settings")
EmbeddingKey = _found("shared.contract.keys:EmbeddingKey", "shared.keys:EmbeddingKey")
image_key = _found("shared.contract.keys:image_key", "shared.keys:image_key")
record_key = _found("shared.contract.keys:record_key", "shared.keys:record_key")
queue_of = _found("shared.contract.keys:queue_name", "shared.keys:queue_name")
FAKE = _found("shared.contract.models:FAKE", "shared.models:FAKE")
request_client = _found("shared.redis.connections:request_client", "shared.connections:request_client")
worker_client = _found("shared.redis.connections:worker_client", "shared.connections:worker_client")
configure_logs = _found("shared.observe.logs:configure", "shared.logs:configure")

decode_image = _found("shared.images.reading:decode_image", "shared.images:decode_image")
resize_longest_side = _found("shared.images:resize_longest_side")
DecodingProcesses = _found("encoder_worker.decoding.processes:DecodingProcesses")
"""None in a commit that decodes in threads of the worker. So are the next three."""
ENVIRONMENT = _found("encoder_worker.decoding.processes:ENVIRONMENT")
DecoderInProcess = _found("encoder_worker.decoding.decoder:DecoderInProcess")
Order = _found("encoder_worker.decoding.decoder:Order")
ResizingEncoder = _found("encoder_worker.encoding.encoder:ResizingEncoder")
"""None in a commit whose worker always resizes pictures itself."""

USE_CASE = EncodeImage and import_module(EncodeImage.__module__)
"""The module whose names `decode_image`, `resize_longest_side` and `encode_embedding` are measured."""


def queue_name() -> str:
    try:
        name: str = queue_of(FAKE.name, FAKE.weights_digest)
    except (AttributeError, TypeError):
        name = queue_of(FAKE.name)
    return name


def tensors(embedding: Any) -> Any:
    """Return what an encoder gives for one image: tensors by name, or the one array in the older commit."""
    if not hasattr(FAKE, "architecture"):
        return embedding
    (spec,) = FAKE.architecture.tensors
    return {spec.name: embedding}
