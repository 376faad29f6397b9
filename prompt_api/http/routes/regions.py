"""`/v1/images/{id}/regions`: has regions of an image encoded."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from prompt_api.http.gate import charge_region
from prompt_api.http.parameters import model, wait
from prompt_api.http.routes.body import read_body
from prompt_api.http.services import services
from prompt_api.http.waiting import thread_to_wait
from prompt_api.service.images import ImageState
from prompt_api.wire.answers import RegionsResponse, RegionState
from prompt_api.wire.limits import MAX_REGIONS_BODY
from prompt_api.wire.requests import RegionsRequest, as_box, as_corners, parse_regions_request
from shared.contract.keys import parse_image_id
from shared.contract.region import Corners

blueprint = Blueprint("regions", __name__, url_prefix="/v1/images")


@blueprint.post("/<image_id>/regions")
def create(image_id: str) -> Response:
    chosen, seconds, api = model(), wait(), services()
    image_id = parse_image_id(image_id)
    asked = parse_regions_request(read_body(MAX_REGIONS_BODY))
    keys = [api.images.key(image_id, chosen, corners) for corners in _corners(image_id, asked)]
    with thread_to_wait(needed=seconds > 0) as granted:
        states = api.images.ask_all(keys, seconds if granted else 0.0, charge=charge_region)
    height, width = states[0].original
    body: RegionsResponse = {
        "image_id": image_id,
        "model": chosen.name,
        "width": width,
        "height": height,
        "regions": [_described(state) for state in states],
    }
    answer = jsonify(body)
    answer.headers["Cache-Control"] = "no-store"
    if not all(state.settled for state in states):
        answer.status_code = 202
        answer.headers["Retry-After"] = "1"
    return answer


def _corners(image_id: str, asked: RegionsRequest) -> list[Corners | None]:
    if asked.regions is not None:
        return [as_corners(corners) for corners in asked.regions]
    images = services().images
    return [images.around(image_id, as_box(box)) for box in asked.around or ()]


def _described(state: ImageState) -> RegionState:
    region = state.key.region
    return {
        "region": None if region is None else region.corners,
        "status": state.status,
        "queue_position": state.queue_position,
        "error": None if state.error is None else {"code": state.error.code, "detail": state.error.detail},
    }
