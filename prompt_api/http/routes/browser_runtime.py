"""`/static/runtime/…`: the files of onnxruntime-web, which the page decodes with."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

from flask import Blueprint, Response, abort, request, send_file

from prompt_api.http.routes.page import HEADERS
from prompt_api.http.services import services
from prompt_api.models.browser_runtime import RUNTIME, compressed

blueprint = Blueprint("browser_runtime", __name__, url_prefix="/static/runtime")

_TYPES = {".mjs": "text/javascript", ".wasm": "application/wasm"}
_PIECE = 1 << 16
_FILES = {file.name: file for file in RUNTIME.files}


@blueprint.get("/<version>/<name>", endpoint="static")
def file(version: str, name: str) -> Response:
    folder = services().browser.runtime_folder(version)
    if folder is None or name not in _FILES:
        abort(404)
    path, etag, kind = compressed(folder, name), _FILES[name].sha256[:32], _TYPES[Path(name).suffix]
    if request.accept_encodings["gzip"] > 0 and "Range" not in request.headers:
        answer = send_file(path, mimetype=kind, etag=f"{etag}-gzip", conditional=True)
        answer.headers["Content-Encoding"] = "gzip"
    else:
        answer = Response(_unpacked(path), mimetype=kind)
        answer.set_etag(etag)
        answer.make_conditional(request)
    answer.vary.add("Accept-Encoding")
    answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return answer


def _unpacked(path: Path) -> Iterator[bytes]:
    """Yield the uncompressed file in pieces, for a client that does not accept gzip. Every browser accepts it."""
    with gzip.open(path) as file:
        while piece := file.read(_PIECE):
            yield piece


@blueprint.after_request
def secure(answer: Response) -> Response:
    """Send the page's headers. The runtime's threads are workers, and a worker obeys the policy sent with its file."""
    answer.headers.update(HEADERS)
    return answer
