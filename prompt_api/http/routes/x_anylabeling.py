"""`/x-anylabeling`: the remote server protocol of X-AnyLabeling."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

from flask import Blueprint, Response, jsonify

from prompt_api.http.gate import asker, malformed_counted
from prompt_api.http.routes.body import read_body
from prompt_api.http.services import services
from prompt_api.http.uploads import upload_slot
from prompt_api.integrations.x_anylabeling.wire import (
    AnyLabelingHealth,
    AnyLabelingModelAnswer,
    AnyLabelingModels,
    AnyLabelingPredictAnswer,
    parse_predict,
)
from prompt_api.wire.problems import MEDIA_TYPE

blueprint = Blueprint("x_anylabeling", __name__, url_prefix="/x-anylabeling")

_LONGEST_REASON = 200


@blueprint.get("/health")
def health() -> Response:
    """Answer that the server is up, and how many models it serves."""
    answer: AnyLabelingHealth = {
        "status": "healthy",
        "models_loaded": len(services().models),
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    return jsonify(answer)


@blueprint.get("/v1/models")
def models() -> Response:
    answer: AnyLabelingModels = {"success": True, "data": services().x_anylabeling.models()}
    return jsonify(answer)


@blueprint.get("/v1/models/<name>/info")
def model_info(name: str) -> Response:
    model = services().model(name)
    described = services().x_anylabeling.models()[model.name]
    answer: AnyLabelingModelAnswer = {"success": True, "data": {"model_id": model.name, **described}}
    return jsonify(answer)


@blueprint.post("/v1/predict")
def predict() -> Response:
    api, sender = services(), asker()
    with upload_slot(), malformed_counted():
        taken = api.x_anylabeling.take_in(parse_predict(read_body(api.settings.max_upload_bytes)), sender)
    answer: AnyLabelingPredictAnswer = {"success": True, "data": api.x_anylabeling.predict(taken, sender)}
    body = Response(json.dumps(answer, separators=(",", ":")), content_type="application/json")
    body.headers["Cache-Control"] = "no-store"
    return body


@blueprint.after_request
def say_why(answer: Response) -> Response:
    """Put the sentence of a problem into the status line: X-AnyLabeling shows a person that line, and not the body."""
    if answer.content_type == MEDIA_TYPE:
        answer.status = f"{answer.status_code} {_reason(json.loads(answer.get_data())['detail'])}"
    return answer


def _reason(detail: str) -> str:
    """Return `detail` as a status line may carry it (RFC 9112, section 4): one line of printable ASCII."""
    return re.sub(r"[^ -~]+", "?", detail.replace("…", "..."))[:_LONGEST_REASON]
