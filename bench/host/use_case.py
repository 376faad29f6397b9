"""The worker's use case around a store, with a clock on each of its stages."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from bench.host import names
from bench.host.encoders import FreeEncoder
from bench.host.spent import Metered, Spent

PIXELS = 50_000_000
"""Of the largest image that is decoded."""

_TTL = 3600


@contextmanager
def use_case(store: Any, events: Any, encoder: FreeEncoder, spent: Spent, decoder: Metered | None) -> Iterator[Any]:
    """Gives the worker's use case, whose stages count.

    Args:
        decoder: None for the one that the checkout takes by itself.
    """
    encode = names.EncodeImage(
        store=Metered(store, spent, {"get": "load", "put": "store"}, "checks"),
        encoder=encoder,
        events=Metered(events, spent, {}, "news"),
        dtype="float16",
        ttl=_TTL,
        max_pixels=PIXELS,
        **({"decoder": decoder} if decoder else {}),
    )
    stages = {"encode_embedding": "pack", "decode_image": "decode", "resize_longest_side": "resize"}
    plain = {name: getattr(names.USE_CASE, name) for name in stages if hasattr(names.USE_CASE, name)}
    for name, function in plain.items():
        setattr(names.USE_CASE, name, spent.timed(stages[name], function))
    try:
        yield encode
    finally:
        for name, function in plain.items():
            setattr(names.USE_CASE, name, function)


@contextmanager
def decoding_processes(count: int, spent: Spent) -> Iterator[tuple[Metered | None, list[int]]]:
    """Gives a decoder with `count` processes, and their ids. Nothing in a commit that decodes in threads."""
    if names.DecodingProcesses is None:
        yield None, []
        return
    with closing(names.DecodingProcesses(count, patience=60)) as made:
        yield Metered(made, spent, {}, "hand over to processes"), made.pids


def upload(store: Any, data: bytes) -> Any:
    """Put an image into the store as the API does. Return the key of its embedding."""
    image_id = hashlib.sha256(data).hexdigest()
    store.put(names.image_key(image_id), data, _TTL)
    store.put(names.record_key(image_id), b"{}", _TTL)
    return names.EmbeddingKey.of(image_id, names.FAKE)
