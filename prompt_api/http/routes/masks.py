"""`/v1/images/{id}/masks`: answers prompts with masks."""

from __future__ import annotations

import json

from flask import Blueprint, Response

from prompt_api.access.scopes import Quota
from prompt_api.http import measured
from prompt_api.http.gate import malformed_counted, namespace, spend
from prompt_api.http.parameters import model, wait
from prompt_api.http.routes.body import read_body
from prompt_api.http.services import services
from prompt_api.masks.interface import MaskFormat
from prompt_api.metrics.timing import server_timing
from prompt_api.service.masks import MaskAnswer, MasksAnswer
from prompt_api.wire.answers import Mask, MasksResponse
from prompt_api.wire.limits import MAX_PROMPT_BODY
from prompt_api.wire.requests import as_query, parse_request
from shared.contract.errors import InvalidPrompt
from shared.contract.keys import parse_image_id

blueprint = Blueprint("masks", __name__, url_prefix="/v1/images")


@blueprint.post("/<image_id>/masks")
def create(image_id: str) -> Response:
    chosen, seconds, api = model(), wait(), services()
    timings = measured.timings()
    with timings.stage("parse"), malformed_counted():
        query = as_query(parse_request(_body()), low_res_side=chosen.architecture.low_res_side)
    spend(Quota.PROMPTS, len(query.prompts))
    # A request waits for its embedding only with a slot. So waiting requests never take all threads, and a request
    # that finds its embedding is not slowed down.
    granted = seconds > 0 and api.waiters.acquire(blocking=False)
    try:
        answer = api.masks.answer(
            parse_image_id(image_id),
            chosen,
            query,
            wait=seconds if granted else 0.0,
            timings=timings,
            namespace=namespace(),
        )
    finally:
        if granted:
            api.waiters.release()
    with timings.stage("serialise"):
        body = json.dumps(_document(answer, query.format), separators=(",", ":"))
    response = Response(body, content_type="application/json")
    response.headers["Server-Timing"] = server_timing(timings)
    response.headers["Cache-Control"] = "no-store"
    return response


def _body() -> bytes:
    body = read_body(MAX_PROMPT_BODY)
    if not body:
        raise InvalidPrompt('the body is empty; send {"prompts": [...]}')
    return body


def _document(answer: MasksAnswer, form: MaskFormat) -> MasksResponse:
    height, width = answer.original
    return {
        "image_id": answer.key.image_id,
        "model": answer.key.model,
        "width": width,
        "height": height,
        "results": [{"masks": [_mask(mask, form) for mask in masks]} for masks in answer.results],
    }


def _mask(answer: MaskAnswer, form: MaskFormat) -> Mask:
    mask: Mask = {
        "score": answer.score,
        "area": answer.mask.area,
        "bbox": answer.mask.bbox,
        "mask_token": answer.token,
    }
    if answer.logits is not None:
        mask["logits"] = answer.logits
    mask[form.value] = answer.mask.payload
    return mask
