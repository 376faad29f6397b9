"""`/`: the click-to-segment page and its files."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, request, send_from_directory

WEB = Path(__file__).resolve().parents[2] / "web"

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; img-src 'self' blob: data:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'self'; form-action 'none'"
)
"""It allows compiling WebAssembly, which decodes prompts in the browser."""

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # These three isolate the page, so that WebAssembly may use threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}

blueprint = Blueprint("page", __name__, static_folder=str(WEB), static_url_path="/static")


@blueprint.get("/")
def index() -> Response:
    return send_from_directory(WEB, "index.html")


@blueprint.after_request
def secure(answer: Response) -> Response:
    answer.headers.update(HEADERS)
    if request.path.startswith("/static/samples/") and answer.status_code in (200, 304):
        answer.headers["Cache-Control"] = "public, max-age=86400"
    return answer
