"""The operations of a client, each a `Flow`: what to ask, when to ask again, when to give up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from prompt_api.client.errors import SERVICE_ERRORS, ConnectionDropped, UnexpectedAnswer
from prompt_api.client.resources import ImageInfo, Masks, ModelInfo, Readiness
from prompt_api.client.wire import Call, Deadline, Flow, Reply, error_of, parsed, retry_after
from shared.contract.errors import EmbeddingPending, EncodeFailed, ImageExpired, ImageNotFound, SamCacheError

MAX_WAIT = 25.0
"""Seconds for which the service is asked to hold an answer: under the 30 it allows, and under most proxies' limits."""

MARGIN = 30.0
"""Seconds beyond `wait` that an answer may take."""

RETRY_SECONDS = 30.0
"""How long a service that says it cannot answer now is asked again, if the operation has that long."""

_SLOW_DOWN = 429
_TRY_AGAIN = frozenset({_SLOW_DOWN, 502, 503, 504})
_FORGOTTEN = (ImageNotFound, ImageExpired)
_TRIES = 3

Prompt = Mapping[str, Any]
"""One prompt as the contract's JSON has it: `points` with `labels`, `box`, `mask_token`, `mask_logits`."""


def image_id_of(data: bytes) -> str:
    """The id of an image file: lower-case hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


def answered(call: Call, deadline: Deadline) -> Flow[Reply]:
    """The reply to `call`, asked again while the service is busy and time is left.

    Raises:
        SamCacheError: what the service answered instead, or that nothing did.
    """
    dropped = False
    patience = Deadline.after(RETRY_SECONDS, deadline.clock)
    while True:
        try:
            reply = yield replace(call, seconds=min(call.seconds, max(1.0, deadline.left())))
        except ConnectionDropped:
            # A server may close a kept connection while the request is under way; every request here is repeatable.
            if dropped:
                raise
            dropped = True
            continue
        if reply.status < 400:
            return reply
        pause = retry_after(reply)
        # Whoever is told to slow down has been told when to go on: that is no failure to lose patience over.
        left = deadline.left() if reply.status == _SLOW_DOWN else min(patience.left(), deadline.left())
        if reply.status not in _TRY_AGAIN or left <= pause:
            raise error_of(reply)
        call = replace(call, after=pause)


def show(image_id: str, model: str | None, deadline: Deadline, *, wait: float = 0.0, after: float = 0.0) -> Flow[Reply]:
    """The image resource, held back for up to `wait` seconds until it is settled."""
    call = Call("GET", f"/v1/images/{image_id}", _query(model, wait), seconds=wait + MARGIN, after=after)
    return (yield from answered(call, deadline))


def send(data: bytes, model: str | None, deadline: Deadline, *, wait: float = 0.0) -> Flow[Reply]:
    """The image resource after an upload."""
    seconds = wait + MARGIN + len(data) / 100_000  # at worst a line of 1 Mbit/s
    call = Call("POST", "/v1/images", _query(model, wait), data, "application/octet-stream", seconds)
    return (yield from answered(call, deadline))


def upload(data: bytes, model: str | None, deadline: Deadline) -> Flow[ImageInfo]:
    """Have the service know the image; its bytes are sent only if it does not. Does not wait for the embedding.

    Raises:
        SamCacheError: it is refused, or the service is away.
    """
    try:
        image = _image((yield from show(image_id_of(data), model, deadline)))
        if image.status != "failed":
            return image
    except _FORGOTTEN:
        pass
    return _image((yield from send(data, model, deadline)), sent=True)


def ready(image_id: str, data: bytes | None, model: str | None, deadline: Deadline) -> Flow[ImageInfo]:
    """The image once its embedding is there. A failure that the service remembers is tried once more.

    Args:
        data: the file's bytes, sent if the service does not have them; None if they are not at hand.

    Raises:
        ImageNotFound, ImageExpired: the service does not have it and neither do we.
        EncodeFailed, InvalidImage, …: why there will be no embedding.
        EmbeddingPending: none until the deadline.
    """
    sent, after = 0, 0.0
    while True:
        wait = min(MAX_WAIT, deadline.left())
        try:
            reply = yield from show(image_id, model, deadline, wait=wait, after=after)
            image = _image(reply, sent=sent > 0)
            upload_it = image.status == "failed" and sent == 0 and data is not None
        except _FORGOTTEN:
            if data is None or sent >= _TRIES:
                raise
            upload_it = True
        if upload_it:
            assert data is not None
            sent += 1
            reply = yield from send(data, model, deadline, wait=wait)
            image = _image(reply, sent=True)
        if image.status == "ready":
            return image
        if image.status == "failed":
            raise _failure(image)
        after = retry_after(reply)
        if deadline.left() <= after:
            raise EmbeddingPending(f"the image is still {image.status} after all the time given", retry_after=after)


def masks(
    image_id: str,
    prompts: Sequence[Prompt],
    model: str | None,
    deadline: Deadline,
    *,
    multimask: bool,
    form: str,
    logits: bool = False,
    data: bytes | None = None,
) -> Flow[Masks]:
    """Masks for each prompt. An image whose embedding went missing is waited for, or uploaded again from `data`.

    Raises:
        SamCacheError: as the service answers; see docs/http-api.md.
    """
    request = {"prompts": prompts, "multimask": multimask, "format": form} | ({"logits": True} if logits else {})
    body = json.dumps(request, separators=(",", ":"))
    path = f"/v1/images/{image_id}/masks"
    call = Call("POST", path, _query(model), body.encode(), "application/json", seconds=deadline.left())
    reply = yield from _of_the_embedding(call, image_id, data, model, deadline)
    timing = reply.headers.get("server-timing", "")
    found = parsed(reply, lambda document: Masks.parse(document, form, timing))
    if len(found.results) != len(prompts):
        raise UnexpectedAnswer(f"{len(prompts)} prompts were answered with {len(found.results)} results")
    return found


def embedding(image_id: str, model: str | None, deadline: Deadline, data: bytes | None = None) -> Flow[bytes]:
    """The image embedding as a `.npy` file."""
    call = Call("GET", f"/v1/images/{image_id}/embedding", _query(model))
    return (yield from _of_the_embedding(call, image_id, data, model, deadline)).body


def models(deadline: Deadline) -> Flow[list[ModelInfo]]:
    """What the service serves, the default first."""
    reply = yield from answered(Call("GET", "/v1/models"), deadline)
    return parsed(reply, lambda document: [ModelInfo.parse(model) for model in document["models"]])


def readiness() -> Flow[Readiness]:
    """What the service says of itself, now."""
    reply = yield Call("GET", "/readyz")
    if reply.status not in (200, 503):
        raise error_of(reply)
    return parsed(reply, Readiness.parse)


def status(image_id: str, model: str | None, deadline: Deadline) -> Flow[ImageInfo]:
    """Where the image is.

    Raises:
        ImageNotFound, ImageExpired: the service does not have it (any more).
    """
    return _image((yield from show(image_id, model, deadline)))


def _of_the_embedding(
    call: Call, image_id: str, data: bytes | None, model: str | None, deadline: Deadline
) -> Flow[Reply]:
    tries = _TRIES
    while True:
        tries -= 1
        try:
            return (yield from answered(call, deadline))
        except EmbeddingPending:
            if tries == 0:
                raise
        except _FORGOTTEN:
            if tries == 0 or data is None:
                raise
        yield from ready(image_id, data, model, deadline)


def _image(reply: Reply, *, sent: bool = False) -> ImageInfo:
    return parsed(reply, lambda document: ImageInfo.parse(document, sent=sent))


def _failure(image: ImageInfo) -> SamCacheError:
    error = image.error or {}
    kind = SERVICE_ERRORS.get(error.get("code", ""), EncodeFailed)
    return kind(error.get("detail", "the image could not be encoded"))


def _query(model: str | None, wait: float = 0.0) -> dict[str, str]:
    query = {} if model is None else {"model": model}
    return {**query, "wait": f"{wait:.3f}"} if wait > 0 else query
