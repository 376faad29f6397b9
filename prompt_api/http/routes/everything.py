"""`/v1/images/{id}/everything`: every mask of an image, as a job that a mask worker runs."""

from __future__ import annotations

import json

from flask import Blueprint, Response, url_for

from prompt_api.http import held_answers
from prompt_api.http.event_streams import event_stream
from prompt_api.http.gate import charge_region, namespace
from prompt_api.http.parameters import model, wait
from prompt_api.http.routes.body import read_body
from prompt_api.http.services import services
from prompt_api.http.waiting import of_this_moment, thread_to_wait
from prompt_api.service.everything import EverythingState
from prompt_api.wire.everything import MAX_BODY, EverythingJob, parse_options
from prompt_api.wire.limits import EVENT_STREAM_SECONDS
from shared.contract.keys import parse_image_id
from shared.observe import log_context

blueprint = Blueprint("everything", __name__, url_prefix="/v1/images/<image_id>/everything")


@blueprint.post("")
def create(image_id: str) -> Response:
    chosen, seconds, api = model(), wait(), services()
    options = parse_options(read_body(MAX_BODY))
    state = api.everything.ask(parse_image_id(image_id), chosen, options, namespace=namespace(), charge=charge_region)
    log_context.add(job_id=state.key.job_id)
    if not state.settled and seconds > 0:
        state = _wait(image_id, state.key.name, seconds)
    if state.error is not None:
        raise state.error
    return _answer(state, pending_status=202)


@blueprint.get("/<job>")
def show(image_id: str, job: str) -> Response:
    return _answer(_wait(parse_image_id(image_id), job, wait()), pending_status=200)


@blueprint.delete("/<job>")
def stop(image_id: str, job: str) -> Response:
    services().everything.stop(parse_image_id(image_id), job, namespace=namespace())
    return Response(status=204)


@blueprint.get("/<job>/events")
def events(image_id: str, job: str) -> Response:
    states = services().everything.follow(parse_image_id(image_id), job, EVENT_STREAM_SECONDS)
    return event_stream(states, _event)


def _wait(image_id: str, job: str, seconds: float) -> EverythingState:
    """Wait if a waiting slot is free. Otherwise return the current state, as if `wait` were 0."""
    with thread_to_wait(needed=seconds > 0) as granted:
        return services().everything.wait(image_id, job, seconds if granted else 0.0)


def _answer(state: EverythingState, *, pending_status: int) -> Response:
    """Return the job with its masks, which are written as they are stored: nothing parses them."""
    body = _resource(state)
    with held_answers.begun(services().answers) as held:
        head = json.dumps(body, separators=(",", ":")).removesuffix("}")
        held.write(f'{head},"masks":'.encode("ascii"))
        held.write(b"[]" if state.masks is None else state.masks.json())
        held.write(b"}\n")
        answer = held_answers.response(held, "application/json")
    return of_this_moment(answer, settled=state.settled, pending_status=pending_status, location=body["links"]["self"])


def _event(state: EverythingState) -> str:
    """Return one server-sent event, named after the status, with the job as its data, without its masks."""
    return f"event: {state.status}\ndata: {json.dumps(_resource(state))}\n\n"


def _resource(state: EverythingState) -> EverythingJob:
    height, width = state.original
    image_id, job = state.key.image_id, state.key.name
    return {
        "job": job,
        "image_id": image_id,
        "model": state.key.model,
        "status": state.status,
        "progress": state.progress,
        "found": state.found,
        "width": width,
        "height": height,
        "queue_position": state.queue_position,
        "workers": state.workers,
        "error": None if state.error is None else {"code": state.error.code, "detail": state.error.detail},
        "links": {
            "self": url_for("everything.show", image_id=image_id, job=job),
            "events": url_for("everything.events", image_id=image_id, job=job),
        },
    }
