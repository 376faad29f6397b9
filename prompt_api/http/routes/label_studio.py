"""`/label-studio`: Label Studio's ML backend protocol."""

from __future__ import annotations

import json
import logging

from flask import Blueprint, Response, jsonify

from prompt_api.http.gate import asker, malformed_counted
from prompt_api.http.routes.body import read_body
from prompt_api.http.services import services
from prompt_api.integrations.label_studio.wire import (
    BackendHealth,
    Noted,
    PredictAnswer,
    SetupAnswer,
    check_event,
    parse_predict,
    parse_setup,
)
from shared.contract.errors import SamCacheError

blueprint = Blueprint("label_studio", __name__, url_prefix="/label-studio")

MAX_NOTICE = 2 * 1024 * 1024
"""Most bytes of a message about a project or an event: a label config, an annotation. None of it is kept."""

_log = logging.getLogger(__name__)


@blueprint.get("/health")
def health() -> Response:
    """Answer that the backend is up. Label Studio waits one second for this."""
    answer: BackendHealth = {"status": "UP", "model_class": services().label_studio.model_name}
    return jsonify(answer)


@blueprint.post("/setup")
def setup() -> Response:
    """Return the model version. Label Studio asks whenever a task is opened, and waits three seconds.

    The access token in the message is not used.
    """
    parse_setup(read_body(MAX_NOTICE))
    answer: SetupAnswer = {"model_version": services().label_studio.model_version}
    return jsonify(answer)


@blueprint.post("/predict")
def predict() -> Response:
    task = None
    try:
        with malformed_counted():
            # Tasks may carry their images as data URLs.
            asked = parse_predict(read_body(services().settings.max_upload_bytes))
        task = asked.tasks[0].id
        answer: PredictAnswer = {"results": services().label_studio.predict(asked, asker())}
    except SamCacheError as error:
        # Label Studio does not show the error to the annotator, so log it here.
        _log.warning("no prediction for Label Studio's task %s: %s: %s", task, error.code, error.detail)
        raise
    return Response(json.dumps(answer, separators=(",", ":")), content_type="application/json")


@blueprint.post("/webhook")
def webhook() -> Response:
    """Acknowledge the event and ignore it: the model does not learn from annotations."""
    check_event(read_body(MAX_NOTICE))
    answer: Noted = {"status": "ok"}
    return jsonify(answer)
