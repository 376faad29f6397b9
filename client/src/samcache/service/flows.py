"""The operations of a client. Each is a `Flow` that says what to ask, when to ask again, and when to give up."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from samcache.errors import (
    SERVICE_ERRORS,
    ConnectionDropped,
    EmbeddingPending,
    EncodeFailed,
    EverythingFailed,
    ImageExpired,
    ImageNotFound,
    JobNotFound,
    SamCacheError,
    UnexpectedAnswer,
)
from samcache.http.wire import Call, Deadline, Flow, Reply, error_of, parsed, retry_after
from samcache.service.resources import Corners, Everything, ImageInfo, Masks, ModelInfo, Readiness, Regions

MAX_WAIT = 25.0
"""Seconds for which the service is asked to hold an answer. The service allows 30; most proxies allow 30 or more."""

TOLD_EVERY = 5.0
"""The same for a caller that wants to be told of each answer."""

ANSWERED_WITHIN = 2.0
"""Seconds before its deadline at which an operation asks for the last answer, so that the answer comes in time."""

MARGIN = 30.0
"""Seconds that an answer may take in addition to those for which it is held."""

FETCHED_WITHIN = 20.0
"""Seconds in which the service fetches an image by its URL, or gives up."""

RETRY_SECONDS = 30.0
"""Seconds for which a service that cannot answer now is asked again. The operation's deadline may end it earlier."""

_BETWEEN_LOOKS = 1.0
"""Seconds before the service is asked again whether regions are encoded."""

_SLOW_DOWN = 429
_TRY_AGAIN = frozenset({_SLOW_DOWN, 502, 503, 504})
_FORGOTTEN = (ImageNotFound, ImageExpired)
TRIES = 3
"""How often an operation asks again after it had an image uploaded or encoded."""

Prompt = Mapping[str, Any]
"""One prompt as in the contract's JSON: `points` with `labels`, `box`, `mask_token`, `mask_logits`, `mask`."""

Clean = Mapping[str, Any]
"""What is cleaned in masks, as in the contract's JSON: `fill_holes`, `remove_specks`, `keep`."""


AUTO: Literal["auto"] = "auto"
"""The service takes the region that suits the prompt."""

Part = Sequence[int] | Literal["auto"] | None
"""What answers prompts: a region as [x0, y0, x1, y1] in whole pixels; `auto`; None for the whole image."""


def part_of(region: Part) -> Corners | Literal["auto"] | None:
    """`region` as a value that can be compared.

    Raises:
        ValueError: it is neither `auto` nor four whole numbers.
    """
    if region is None:
        return None
    return AUTO if isinstance(region, str) and region == AUTO else _whole_pixels(region)


def image_id_of(data: bytes) -> str:
    """The id of an image file: lower-case hex SHA-256."""
    return hashlib.sha256(data).hexdigest()


def answered(call: Call, deadline: Deadline) -> Flow[Reply]:
    """The reply to `call`. It is asked again while the service is busy and time is left.

    Raises:
        SamCacheError: the error that the service answered, or that nothing answered.
    """
    dropped = False
    patience = Deadline.after(RETRY_SECONDS, deadline.clock)
    while True:
        try:
            reply = yield replace(call, seconds=min(call.seconds, max(1.0, deadline.left())))
        except ConnectionDropped:
            # A server may close an open connection just when a request is sent. Every request here may be repeated.
            if dropped:
                raise
            dropped = True
            continue
        if reply.status < 400:
            return reply
        pause = retry_after(reply)
        # A rate limit says when to go on, so it may be waited for until the deadline. Other refusals may last: give up
        # after `RETRY_SECONDS`.
        left = deadline.left() if reply.status == _SLOW_DOWN else min(patience.left(), deadline.left())
        if reply.status not in _TRY_AGAIN or left <= pause:
            raise error_of(reply)
        call = replace(call, after=pause)


def show(
    image_id: str,
    model: str | None,
    deadline: Deadline,
    *,
    wait: float = 0.0,
    after: float = 0.0,
    region: Sequence[int] | None = None,
) -> Flow[Reply]:
    """Ask for the image or region. The service holds its answer for up to `wait` seconds, until it is ready or failed.

    To ask for a region has it encoded.
    """
    query = query_of(model, wait, region)
    call = Call("GET", f"/v1/images/{image_id}", query, seconds=wait + MARGIN, after=after)
    return (yield from answered(call, deadline))


def send(data: bytes, model: str | None, deadline: Deadline, *, wait: float = 0.0) -> Flow[Reply]:
    """Upload the image. The service holds its answer as in `show`."""
    seconds = wait + MARGIN + len(data) / 100_000  # a slow line sends 100,000 bytes a second
    call = Call("POST", "/v1/images", query_of(model, wait), data, "application/octet-stream", seconds)
    return (yield from answered(call, deadline))


def upload(data: bytes, model: str | None, deadline: Deadline) -> Flow[ImageInfo]:
    """Upload the image, unless the service knows it. This does not wait for the embedding.

    Raises:
        SamCacheError: the service refuses it, or does not answer.
    """
    try:
        image = _image((yield from show(image_id_of(data), model, deadline)))
        if image.status != "failed":
            return image
    except _FORGOTTEN:
        pass
    return _image((yield from send(data, model, deadline)), sent=True)


def upload_url(url: str, model: str | None, deadline: Deadline) -> Flow[ImageInfo]:
    """Have the service fetch the image at `url`. This does not wait for the embedding.

    Raises:
        UrlNotAllowed, ImageUnreachable: the service does not fetch it, or cannot.
    """
    body = json.dumps({"url": url}).encode()
    call = Call("POST", "/v1/images", query_of(model), body, "application/json", seconds=FETCHED_WITHIN + MARGIN)
    return _image((yield from answered(call, deadline)))


def ready(
    image_id: str,
    data: bytes | None,
    model: str | None,
    deadline: Deadline,
    on_pending: Callable[[ImageInfo], None] | None = None,
    *,
    region: Sequence[int] | None = None,
) -> Flow[ImageInfo]:
    """Wait until the image, or the region, has its embedding. If the service remembers that encoding the image failed,
    try once more.

    Args:
        data: the file's bytes, sent if the service does not have them; None if the caller has none.
        on_pending: called every few seconds with the image that is not ready yet.

    Raises:
        ImageNotFound, ImageExpired: the service does not have the image, and `data` is None.
        EncodeFailed, InvalidImage, …: the image cannot be encoded.
        EmbeddingPending: the deadline came first.
    """
    sent, after = 0, 0.0
    while True:
        wait = _held_for(deadline, after, tells=on_pending is not None)
        try:
            reply = yield from show(image_id, model, deadline, wait=wait, after=after, region=region)
            image = _image(reply, sent=sent > 0)
            upload_it = image.status == "failed" and sent == 0 and data is not None and region is None
        except _FORGOTTEN:
            if data is None or sent >= TRIES:
                raise
            upload_it = True
        if upload_it:
            assert data is not None
            sent += 1
            reply = yield from send(data, model, deadline, wait=wait if region is None else 0.0)
            image = _image(reply, sent=True)
            if region is not None and image.status != "failed":
                after = 0.0  # that was the whole image
                continue
        if image.status == "ready":
            return image
        if image.status == "failed":
            raise _failure(image)
        if on_pending is not None:
            on_pending(image)
        after = retry_after(reply)
        subject = "the image" if region is None else "the region"
        reason = f": no worker of {image.model} is alive" if image.workers == 0 else ""
        _require_time(deadline, after, f"{subject} is still {image.status} after all the time given{reason}")


def _held_for(deadline: Deadline, after: float, *, tells: bool = False) -> float:
    """Return for how many seconds the service is asked to hold its next answer.

    Args:
        after: seconds before it is asked.
        tells: whether the caller wants to be told of each answer.
    """
    left = max(0.0, deadline.left() - after)
    return min(TOLD_EVERY if tells else MAX_WAIT, left - min(ANSWERED_WITHIN, left / 4))


def _require_time(deadline: Deadline, after: float, pending: str) -> None:
    """Return if there is time to ask again after so many seconds.

    Raises:
        EmbeddingPending: there is not. `pending` says what is not done.
    """
    if deadline.left() <= after:
        raise EmbeddingPending(pending, retry_after=after)


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
    region: Part = None,
    wait: float = 0.0,
    after: float = 0.0,
    clean: Clean | None = None,
    tolerance: float = 0.0,
) -> Flow[Masks]:
    """Masks for each prompt. If the embedding is missing, wait for it, or upload the image again from `data`.

    Args:
        region: what answers. With `auto` the whole image does, until the region that suits is encoded.
        wait: seconds that the service may hold its answer, until that region is encoded.
        after: seconds before it is asked.
        clean: what is cleaned in each mask.
        tolerance: pixels by which polygons may leave the mask's edge.

    Raises:
        SamCacheError: the error that the service answered; docs/http-api.md lists them.
    """
    request: dict[str, Any] = {"prompts": prompts, "multimask": multimask, "format": form} | (
        {"logits": True} if logits else {}
    )
    part = part_of(region)
    corners = None if part == AUTO else part
    if part is not None:
        request["region"] = part
    # What is not asked for is not sent, so that a service of an earlier version answers too.
    if clean:
        request["clean"] = clean
    if tolerance:
        request["tolerance"] = tolerance
    body = json.dumps(request, separators=(",", ":"))
    path = f"/v1/images/{image_id}/masks"
    call = Call(
        "POST", path, query_of(model, wait), body.encode(), "application/json", seconds=deadline.left(), after=after
    )
    reply = yield from _of_the_embedding(call, image_id, data, model, deadline, region=corners)
    timing = reply.headers.get("server-timing", "")
    found = parsed(reply, lambda document: Masks.parse(document, form, timing))
    if len(found.results) != len(prompts):
        raise UnexpectedAnswer(f"{len(prompts)} prompts were answered with {len(found.results)} results")
    return found


def everything(
    image_id: str,
    options: Mapping[str, Any],
    model: str | None,
    deadline: Deadline,
    *,
    data: bytes | None = None,
    on_progress: Callable[[Everything], None] | None = None,
) -> Flow[Everything]:
    """Every mask of the image. The service computes them once, and remembers them for a while.

    If the service does not have the image, it is uploaded from `data`.

    Args:
        options: those of `SamAutomaticMaskGenerator`, and `mode`; docs/http-api.md has them.
        on_progress: called every few seconds with the job that has not ended.

    Raises:
        InvalidParameter: an option is unknown or out of range.
        EverythingFailed, EncodeFailed, EmbeddingPending, …: the job failed, or was stopped.
        EmbeddingPending: the deadline came first.
    """
    body = json.dumps(dict(options)).encode()
    path = f"/v1/images/{image_id}/everything"
    tries, after, found = 0, 0.0, None
    while True:
        wait = _held_for(deadline, after, tells=on_progress is not None)
        try:
            if found is None:
                call = Call("POST", path, query_of(model, wait), body, "application/json", wait + MARGIN, after)
            else:
                call = Call("GET", found.path, query_of(None, wait), seconds=wait + MARGIN, after=after)
            reply = yield from answered(call, deadline)
            found = parsed(reply, Everything.parse)
        except (*_FORGOTTEN, JobNotFound) as error:
            tries += 1
            if tries > TRIES or (data is None and not isinstance(error, JobNotFound)):
                raise
            if data is not None:
                yield from send(data, model, deadline)
            found, after = None, 0.0
            continue
        if found.status == "done":
            return found
        if found.status in ("failed", "stopped"):
            raise _reason(found)
        if on_progress is not None:
            on_progress(found)
        after = retry_after(reply)
        reason = f": no mask worker of {found.model} is alive" if found.workers == 0 else ""
        _require_time(deadline, after, f"the search for masks is still {found.status} after all the time given{reason}")


def stop_everything(path: str, deadline: Deadline) -> Flow[None]:
    """Stop the job at `path` and have its masks deleted."""
    yield from answered(Call("DELETE", path), deadline)


def finest_masks(
    image_id: str,
    prompts: Sequence[Prompt],
    model: str | None,
    deadline: Deadline,
    *,
    multimask: bool,
    form: str,
    logits: bool = False,
    data: bytes | None = None,
    region: Part = None,
    clean: Clean | None = None,
    tolerance: float = 0.0,
) -> Flow[Masks]:
    """As `masks`, but with `auto` wait for the region that suits, for as long as the deadline allows.

    If the region is not encoded in time, the answer is that of the whole image.
    """
    after = 0.0
    region = part_of(region)
    while True:
        wait = _held_for(deadline, after) if region == AUTO else 0.0
        found = yield from masks(
            image_id,
            prompts,
            model,
            deadline,
            multimask=multimask,
            form=form,
            logits=logits,
            data=data,
            region=region,
            wait=wait,
            after=after,
            clean=clean,
            tolerance=tolerance,
        )
        after = _BETWEEN_LOOKS
        if found.finer is None or not found.finer.is_coming or deadline.left() <= after + ANSWERED_WITHIN:
            return found


def regions(
    image_id: str,
    model: str | None,
    deadline: Deadline,
    *,
    corners: Sequence[Sequence[int]] | None = None,
    around: Sequence[Sequence[float]] | None = None,
    wait: float = 0.0,
    after: float = 0.0,
    data: bytes | None = None,
) -> Flow[Regions]:
    """Have regions encoded, and tell how far they are. It does not wait for them for longer than `wait` seconds.

    Args:
        corners: [x0, y0, x1, y1] of each region, in whole pixels.
        around: or [x0, y0, x1, y1] of objects. The service takes the region that suits each.
        data: the file's bytes, sent if the service does not have the image.

    Raises:
        InvalidParameter: a region is none, or these are too many.
        SamCacheError: the error that the service answered.
    """
    asked: dict[str, Any] = (
        {"around": [list(map(float, box)) for box in around or ()]}
        if corners is None
        else {"regions": [_whole_pixels(one) for one in corners]}
    )
    body = json.dumps(asked, separators=(",", ":")).encode()
    path, seconds = f"/v1/images/{image_id}/regions", wait + MARGIN
    call = Call("POST", path, query_of(model, wait), body, "application/json", seconds=seconds, after=after)
    try:
        reply = yield from answered(call, deadline)
    except _FORGOTTEN:
        if data is None:
            raise
        yield from send(data, model, deadline)
        reply = yield from answered(call, deadline)
    found = parsed(reply, Regions.parse)
    if len(found.regions) != len(corners if corners is not None else around or ()):
        raise UnexpectedAnswer(f"the service answered with {len(found.regions)} regions, not as many as were asked for")
    return found


def regions_ready(
    image_id: str,
    model: str | None,
    deadline: Deadline,
    *,
    corners: Sequence[Sequence[int]] | None = None,
    around: Sequence[Sequence[float]] | None = None,
    data: bytes | None = None,
) -> Flow[Regions]:
    """As `regions`, but wait until each is ready or failed.

    Raises:
        EmbeddingPending: the deadline came first.
    """
    after = 0.0
    while True:
        wait = _held_for(deadline, after)
        found = yield from regions(
            image_id, model, deadline, corners=corners, around=around, wait=wait, after=after, data=data
        )
        if found.settled:
            return found
        after = _BETWEEN_LOOKS
        waiting = sum(region.status in ("queued", "encoding") for region in found.regions)
        _require_time(deadline, after, f"{waiting} regions are still not encoded after all the time given")


def embedding(
    image_id: str,
    model: str | None,
    deadline: Deadline,
    data: bytes | None = None,
    region: Sequence[int] | None = None,
) -> Flow[bytes]:
    """The embedding of the image, or of a region of it, as a `.npy` file."""
    corners = None if region is None else _whole_pixels(region)
    call = Call("GET", f"/v1/images/{image_id}/embedding", query_of(model, region=corners))
    return (yield from _of_the_embedding(call, image_id, data, model, deadline, region=corners)).body


def models(deadline: Deadline) -> Flow[list[ModelInfo]]:
    """The models that the service serves, its default first."""
    reply = yield from answered(Call("GET", "/v1/models"), deadline)
    return parsed(reply, lambda document: [ModelInfo.parse(model) for model in document["models"]])


def sample(name: str, deadline: Deadline) -> Flow[bytes]:
    """One of the pictures that the service's page offers to people who have none: the bytes of a JPEG file."""
    return (yield from answered(Call("GET", f"/static/samples/{name}.jpg"), deadline)).body


def readiness() -> Flow[Readiness]:
    """Whether the service is ready now."""
    reply = yield Call("GET", "/readyz")
    if reply.status not in (200, 503):
        raise error_of(reply)
    return parsed(reply, Readiness.parse)


def status(image_id: str, model: str | None, deadline: Deadline) -> Flow[ImageInfo]:
    """How far the image is.

    Raises:
        ImageNotFound: the service does not know it.
        ImageExpired: the service knew it and no longer has it.
    """
    return _image((yield from show(image_id, model, deadline)))


def _of_the_embedding(
    call: Call,
    image_id: str,
    data: bytes | None,
    model: str | None,
    deadline: Deadline,
    *,
    region: Sequence[int] | None = None,
) -> Flow[Reply]:
    """The reply to a call that needs the embedding. If the embedding is missing, have it made and ask again."""
    tries = TRIES
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
        yield from ready(image_id, data, model, deadline, region=region)


def _image(reply: Reply, *, sent: bool = False) -> ImageInfo:
    return parsed(reply, lambda document: ImageInfo.parse(document, sent=sent))


def _failure(image: ImageInfo) -> SamCacheError:
    error = image.error or {}
    kind = SERVICE_ERRORS.get(error.get("code", ""), EncodeFailed)
    return kind(error.get("detail", "the image could not be encoded"))


def _reason(job: Everything) -> SamCacheError:
    error = job.error or {}
    kind = SERVICE_ERRORS.get(error.get("code", ""), EverythingFailed)
    return kind(error.get("detail", "the search for masks was stopped"))


def query_of(model: str | None, wait: float = 0.0, region: Sequence[int] | None = None) -> dict[str, str]:
    query = {} if model is None else {"model": model}
    if region is not None:
        query["region"] = ",".join(map(str, region))
    return {**query, "wait": f"{wait:.3f}"} if wait > 0 else query


def _whole_pixels(region: Sequence[Any]) -> Corners:
    """The corners of a region as whole numbers.

    Raises:
        ValueError: these are not four whole numbers.
    """
    try:
        x0, y0, x1, y1 = (operator.index(number) for number in region)
    except (TypeError, ValueError):
        raise ValueError(f"a region is 'auto', or x0, y0, x1, y1 in whole pixels, not {region!r}") from None
    return x0, y0, x1, y1
