"""`/samapi`: the protocol of samapi, for QuPath's SAM extension. Its address in QuPath ends in `/samapi/sam/`."""

from __future__ import annotations

import json
import logging

from flask import Blueprint, Response, jsonify, request

from prompt_api.http.gate import asker, malformed_counted
from prompt_api.http.routes.body import read_body
from prompt_api.http.services import services
from prompt_api.http.uploads import upload_slot
from prompt_api.integrations.samapi.wire import SPOKEN, SamProgress, SamType, parse_sam
from shared.contract.errors import InvalidParameter, NotServed, SamCacheError

blueprint = Blueprint("samapi", __name__, url_prefix="/samapi/sam")

_log = logging.getLogger(__name__)


# QuPath sends prompts to the address as it was typed, so with or without the slash at its end.
@blueprint.post("/", strict_slashes=False)
def predict() -> Response:
    api, sender = services(), asker()
    try:
        with upload_slot(), malformed_counted():
            taken = api.samapi.take_in(parse_sam(read_body(api.settings.max_upload_bytes)), sender)
        features = api.samapi.predict(taken, sender)
    except SamCacheError as error:
        # QuPath writes the error to its own log and shows a person nothing, so log it here too.
        _log.warning("no mask for QuPath: %s: %s", error.code, error.detail)
        raise
    answer = Response(json.dumps(features, separators=(",", ":")), content_type="application/json")
    answer.headers["Cache-Control"] = "no-store"
    return answer


@blueprint.get("/version/", strict_slashes=False)
def version() -> Response:
    return _text(SPOKEN)


@blueprint.get("/weights/", strict_slashes=False)
def weights() -> Response:
    asked = request.args.get("type")
    try:
        kind = None if asked is None else SamType(asked)
    except ValueError:
        raise InvalidParameter(f"type={asked!r} must be one of {', '.join(SamType)}") from None
    return jsonify(services().samapi.weights(kind))


@blueprint.post("/weights/", strict_slashes=False)
def register_weights() -> Response:
    raise NotServed("clients cannot add weights to this service; its operator can")


@blueprint.get("/weights/cancel/", strict_slashes=False)
def cancel() -> Response:
    return _text("There is no download to cancel.")


@blueprint.get("/progress/", strict_slashes=False)
def progress() -> Response:
    """Answer that no download of weights is going on. QuPath asks ten times a second while it adds weights."""
    answer: SamProgress = {"message": None, "percent": -1}
    return jsonify(answer)


@blueprint.post("/automask/", strict_slashes=False)
def automask() -> Response:
    raise NotServed("masks of everything in an image are not served here yet; point at one object, or box it")


@blueprint.post("/sam3/", strict_slashes=False)
def sam3() -> Response:
    raise NotServed("prompts of text are not served here; point at one object, or box it")


@blueprint.post("/upload/", strict_slashes=False)
@blueprint.post("/video/", strict_slashes=False)
@blueprint.post("/sam3video/", strict_slashes=False)
def video() -> Response:
    raise NotServed("videos and stacks are not served here; prompt one image at a time")


def _text(text: str) -> Response:
    return Response(text, content_type="text/plain; charset=utf-8")
