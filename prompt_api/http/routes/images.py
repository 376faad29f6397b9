"""`/v1/images`: upload, status, events, embedding, delete."""

from __future__ import annotations

import hashlib
import json
from contextlib import ExitStack

from flask import Blueprint, Response, jsonify, request

from prompt_api.http import measured
from prompt_api.http.event_streams import event_stream
from prompt_api.http.gate import charge_region, namespace
from prompt_api.http.parameters import model, region, resource, wait
from prompt_api.http.services import services
from prompt_api.http.uploads import Upload, read_upload, upload_slot
from prompt_api.http.waiting import of_this_moment, thread_to_wait
from prompt_api.service.images import ImageState
from prompt_api.wire.limits import EVENT_STREAM_SECONDS
from prompt_api.wire.requests import MAX_REFERENCE_BODY, parse_image_reference
from shared.contract.errors import EmbeddingPending, ModelNotFound, Overloaded
from shared.contract.keys import EmbeddingKey, parse_image_id
from shared.contract.models import Model
from shared.observe import log_context
from shared.observe.stages import Stages

blueprint = Blueprint("images", __name__, url_prefix="/v1/images")


@blueprint.post("")
def upload() -> Response:
    chosen, seconds = model(), wait()
    timings = measured.timings()
    with upload_slot():
        with timings.stage("parse"):
            received = read_upload(request, max_bytes=services().settings.max_upload_bytes)
        url = _url_in(received)
        if url is None:
            state = _take_in(received, chosen, timings)
    del received
    if url is not None:
        state = _take_in_from(url, chosen, timings)
    if not state.settled and seconds > 0:
        with timings.stage("wait"):
            state = _wait(state.key, seconds)
    if state.error is not None:
        raise state.error
    return _answer(state, pending_status=202)


@blueprint.get("/<image_id>")
def show(image_id: str) -> Response:
    return _answer(_wait(_key(image_id, model()), wait()), pending_status=200)


@blueprint.delete("/<image_id>")
def delete(image_id: str) -> Response:
    api = services()
    if api.images.delete(parse_image_id(image_id), tuple(api.models.values()), namespace=namespace()):
        api.masks.forget(image_id)
        api.everything.forget(image_id)
    return Response(status=204)


@blueprint.get("/<image_id>/events")
def events(image_id: str) -> Response:
    states = services().images.follow(_key(image_id, model()), EVENT_STREAM_SECONDS, charge=charge_region)
    return event_stream(states, _event)


@blueprint.get("/<image_id>/embedding")
def embedding(image_id: str) -> Response:
    chosen, api = model(), services()
    if request.args.get("weights", chosen.weights_digest) != chosen.weights_digest:
        raise ModelNotFound(f"model {chosen.name!r} has other weights now")
    key = _key(image_id, chosen)
    body = api.embeddings.file(key, chosen.architecture)
    if body is None:
        state = api.images.state(key, charge=charge_region)
        if state.error is not None:
            raise state.error
        raise EmbeddingPending(state.pending, retry_after=1)
    answer = Response(body, content_type="application/octet-stream")
    answer.set_etag(hashlib.sha256(body).hexdigest()[:32])
    answer.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    answer.make_conditional(request)
    return answer


@blueprint.get("/<image_id>/preview")
def preview(image_id: str) -> Response:
    body = services().images.preview(parse_image_id(image_id), model())
    answer = Response(body, content_type="image/jpeg")
    answer.headers["Cache-Control"] = "private, max-age=86400"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def _url_in(received: Upload) -> str | None:
    """Return the URL that a body of JSON names, or None if the body is the image itself.

    An image that is sent with the media type of JSON is an image all the same: none begins with a brace.
    """
    if request.mimetype != "application/json" or not received.data[:MAX_REFERENCE_BODY].lstrip().startswith(b"{"):
        return None
    return parse_image_reference(received.data).url


def _take_in_from(url: str, chosen: Model, timings: Stages) -> ImageState:
    """Fetch the image and take it in. The thread waits for the fetch, so this takes a slot of those that may wait."""
    services().remote.source(url, namespace())  # a URL that is not allowed is refused at once
    with thread_to_wait() as granted, ExitStack() as held:
        if not granted:
            raise Overloaded("too many requests wait", retry_after=2)
        with timings.stage("download"):
            data = held.enter_context(services().remote.fetched(url, namespace()))
        with upload_slot():
            return _take_in(Upload(hashlib.sha256(data).hexdigest(), data), chosen, timings)


def _take_in(received: Upload, chosen: Model, timings: Stages) -> ImageState:
    log_context.add(image_id=received.image_id)
    with timings.stage("store"):
        return services().images.upload(received.image_id, received.data, chosen, namespace=namespace())


def _key(image_id: str, chosen: Model) -> EmbeddingKey:
    """Return the key of the image, or of the part of it that `?region=` names."""
    return services().images.key(parse_image_id(image_id), chosen, region())


def _wait(key: EmbeddingKey, seconds: float) -> ImageState:
    """Wait if a waiting slot is free. Otherwise return the current state, as if `wait` were 0."""
    with thread_to_wait(needed=seconds > 0) as granted:
        return services().images.wait(key, seconds if granted else 0.0, charge=charge_region)


def _answer(state: ImageState, *, pending_status: int) -> Response:
    body = resource(state)
    return of_this_moment(
        jsonify(body), settled=state.settled, pending_status=pending_status, location=body["links"]["self"]
    )


def _event(state: ImageState) -> str:
    """Return one server-sent event, named after the status, with the image resource as its data."""
    return f"event: {state.status}\ndata: {json.dumps(resource(state))}\n\n"
