"""`/static/runtime/…`: the files of onnxruntime-web, for the page's own decoder."""

from __future__ import annotations

from flask import Blueprint, Response, abort, request, send_file

from prompt_api.routes.page import HEADERS
from prompt_api.routes.parameters import services
from shared.browser_runtime import RUNTIME, compressed

blueprint = Blueprint("browser_runtime", __name__, url_prefix="/static/runtime")

_TYPES = {".mjs": "text/javascript", ".wasm": "application/wasm"}
_FILES = {file.name: file for file in RUNTIME.files}


@blueprint.get("/<version>/<name>", endpoint="static")
def file(version: str, name: str) -> Response:
    folder = services().browser.runtime_folder(version)
    if folder is None or name not in _FILES:
        abort(404)
    path, etag = folder / name, _FILES[name].sha256[:32]
    packed = request.accept_encodings["gzip"] > 0 and "Range" not in request.headers
    answer = send_file(
        compressed(path) if packed else path,
        mimetype=_TYPES[path.suffix],
        etag=f"{etag}-gzip" if packed else etag,
        conditional=True,
    )
    if packed:
        answer.headers["Content-Encoding"] = "gzip"
    answer.vary.add("Accept-Encoding")
    answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return answer


@blueprint.after_request
def secure(answer: Response) -> Response:
    """As the page: the runtime's threads are workers, which obey the policy that their own file came with."""
    answer.headers.update(HEADERS)
    return answer
