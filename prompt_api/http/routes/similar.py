"""`/v1/images/{id}/similar`: finds what looks like some examples."""

from __future__ import annotations

import json
from functools import partial
from typing import Any, BinaryIO

from flask import Blueprint, Response

from prompt_api.access.scopes import Quota
from prompt_api.http import held_answers, measured
from prompt_api.http.gate import charge_region, client, malformed_counted, namespace, spend
from prompt_api.http.parameters import model, wait
from prompt_api.http.routes.body import read_prompt_body
from prompt_api.http.services import services
from prompt_api.http.waiting import thread_to_wait
from prompt_api.masks.interface import MaskFormat
from prompt_api.metrics.timing import server_timing
from prompt_api.service.similar_query import SimilarObject
from prompt_api.wire.similar import parse_similar_request
from shared.contract.geometry import Size
from shared.contract.keys import EmbeddingKey, parse_image_id

blueprint = Blueprint("similar", __name__, url_prefix="/v1/images")

_as_json = json.JSONEncoder(separators=(",", ":")).encode


@blueprint.post("/<image_id>/similar")
def find(image_id: str) -> Response:
    chosen, seconds, api = model(), wait(), services()
    timings = measured.timings()
    with timings.stage("parse"), malformed_counted():
        query = parse_similar_request(read_prompt_body('{"examples": [...]}'))
    spend(Quota.PROMPTS, len(query.examples))
    with held_answers.begun(api.answers) as held:
        with thread_to_wait(needed=seconds > 0) as granted:
            api.similar.write_answer(
                _JsonAnswer(held, query.format),
                parse_image_id(image_id),
                chosen,
                query,
                wait=seconds if granted else 0.0,
                timings=timings,
                namespace=namespace(),
                client=client(),
                charge=charge_region,
                spend=partial(spend, Quota.PROMPTS),
            )
        with timings.stage("serialise"):
            response = held_answers.response(held, "application/json")
    response.headers["Server-Timing"] = server_timing(timings)
    response.headers["Cache-Control"] = "no-store"
    return response


class _JsonAnswer:
    """Writes an answer as JSON, mask by mask. The whole is a `SimilarResponse`."""

    def __init__(self, file: BinaryIO, form: MaskFormat) -> None:
        self._file = file
        self._form = form
        self._between = ""

    def begin(self, key: EmbeddingKey, original: Size) -> None:
        height, width = original
        head = {"image_id": key.image_id, "model": key.model, "width": width, "height": height}
        self._write(_as_json(head).removesuffix("}") + ',"masks":[')

    def add(self, found: SimilarObject) -> None:
        self._write(self._between + _as_json(_mask(found, self._form)))
        self._between = ","

    def end(self, *, truncated: bool) -> None:
        self._write(f'],"truncated":{_as_json(truncated)}}}')

    def _write(self, text: str) -> None:
        self._file.write(text.encode("ascii"))


def _mask(found: SimilarObject, form: MaskFormat) -> dict[str, Any]:
    """Return a `SimilarMask`."""
    return {
        "similarity": found.similarity,
        "score": found.score,
        "area": found.mask.area,
        "bbox": found.mask.bbox,
        "mask_token": found.token,
        "point": found.point,
        form.value: found.mask.payload,
    }
