"""`/v1/images/{id}/masks`: answers prompts with masks."""

from __future__ import annotations

import json
from typing import BinaryIO

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
from prompt_api.service.images import ImageState
from prompt_api.service.masks import MaskAnswer
from prompt_api.service.prompts import AUTO
from prompt_api.wire.answers import FinerRegion, Mask
from prompt_api.wire.requests import as_query, parse_request
from shared.contract.geometry import Size
from shared.contract.keys import EmbeddingKey, parse_image_id

blueprint = Blueprint("masks", __name__, url_prefix="/v1/images")

_as_json = json.JSONEncoder(separators=(",", ":")).encode


@blueprint.post("/<image_id>/masks")
def create(image_id: str) -> Response:
    chosen, seconds, api = model(), wait(), services()
    timings = measured.timings()
    with timings.stage("parse"), malformed_counted():
        asked = parse_request(read_prompt_body('{"prompts": [...]}'))
        query = as_query(asked, low_res_side=chosen.architecture.low_res_side)
    spend(Quota.PROMPTS, len(query.prompts))
    with held_answers.begun(api.answers) as held:
        written = _JsonAnswer(held, query.format)
        # A request that finds its embedding is not slowed down by requests that wait for theirs.
        with thread_to_wait(needed=seconds > 0) as granted:
            finer = api.masks.write_answer(
                written,
                parse_image_id(image_id),
                chosen,
                query,
                wait=seconds if granted else 0.0,
                timings=timings,
                namespace=namespace(),
                client=client(),
                charge=charge_region,
            )
        with timings.stage("serialise"):
            written.end(finer, is_auto=query.region == AUTO)
            response = held_answers.response(held, "application/json")
    response.headers["Server-Timing"] = server_timing(timings)
    response.headers["Cache-Control"] = "no-store"
    return response


class _JsonAnswer:
    """Writes an answer as JSON, mask by mask. The whole is a `MasksResponse`."""

    def __init__(self, file: BinaryIO, form: MaskFormat) -> None:
        self._file = file
        self._form = form
        self._prompt = -1

    def begin(self, key: EmbeddingKey, original: Size) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._prompt = -1
        height, width = original
        region = None if key.region is None else key.region.corners
        head = {"image_id": key.image_id, "model": key.model, "width": width, "height": height, "region": region}
        self._write(_as_json(head).removesuffix("}") + ',"results":[')

    def add(self, prompt: int, mask: MaskAnswer) -> None:
        before = ","
        if prompt != self._prompt:
            before = ']},{"masks":[' if prompt else '{"masks":['
            self._prompt = prompt
        self._write(before + _as_json(_mask(mask, self._form)))

    def end(self, finer: ImageState | None, *, is_auto: bool) -> None:
        self._write("]}]")
        if is_auto:
            self._write(f',"finer":{_as_json(_finer(finer))}')
        self._write("}")

    def _write(self, text: str) -> None:
        self._file.write(text.encode("ascii"))


def _finer(state: ImageState | None) -> FinerRegion | None:
    if state is None or state.key.region is None:
        return None
    return {"region": state.key.region.corners, "status": state.status}


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
