"""`/openapi.json` and `/docs`: the contract for programs and for people."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, jsonify, render_template, request

from prompt_api.http.services import services
from prompt_api.openapi.document import build
from prompt_api.openapi.reference import reference

PAGE = Path(__file__).resolve().parents[2] / "openapi" / "page"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'self'; form-action 'none'"
)
"""It allows no scripts, because the page has none."""

blueprint = Blueprint(
    "documentation",
    __name__,
    template_folder=str(PAGE),
    static_folder=str(PAGE / "static"),
    static_url_path="/docs/static",
)


@blueprint.get("/openapi.json")
def document() -> Response:
    answer = jsonify(_document())
    answer.headers["Cache-Control"] = "no-cache"
    answer.add_etag()
    answer.make_conditional(request)
    return answer


@blueprint.get("/docs")
def page() -> str:
    return render_template("reference.html", **reference(_document(), request.url_root.rstrip("/")))


@blueprint.after_request
def secure(answer: Response) -> Response:
    answer.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer


def _document() -> dict[str, object]:
    api = services()
    return build(api.settings, list(api.models), base_path=request.root_path or "/")
