"""`/metrics`: what Prometheus reads."""

from __future__ import annotations

from flask import Blueprint, Response, request

from prompt_api.http.services import services

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def scrape() -> Response:
    body, media_type = services().scrape.answer(request.headers.get("Accept", ""))
    answer = Response(body, content_type=media_type)
    answer.headers["Cache-Control"] = "no-store"
    answer.vary.add("Accept")
    return answer
