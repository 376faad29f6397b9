"""`/static/runtime/…`: the files of onnxruntime-web, which the page decodes with."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, abort, request, send_file
from werkzeug.wsgi import wrap_file

from prompt_api.http.routes.page import HEADERS
from prompt_api.http.services import services
from prompt_api.models.browser_runtime import RUNTIME, compressed
from prompt_api.service.unpacked import UnpackedFiles

blueprint = Blueprint("browser_runtime", __name__, url_prefix="/static/runtime")

_TYPES = {".mjs": "text/javascript", ".wasm": "application/wasm"}
_FILES = {file.name: file for file in RUNTIME.files}
_UNPACKED = UnpackedFiles()


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
        # Every browser accepts gzip. For others, the server sends a file as well, because that needs no thread.
        unpacked = _UNPACKED.open(path)
        answer = Response(wrap_file(request.environ, unpacked), mimetype=kind, direct_passthrough=True)  # type: ignore[arg-type]  # it needs only these methods of a file
        answer.content_length = unpacked.size
        answer.set_etag(etag)
        answer.make_conditional(request)
    answer.vary.add("Accept-Encoding")
    answer.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return answer


@blueprint.after_request
def secure(answer: Response) -> Response:
    """Send the page's headers. The runtime's threads are workers, and a worker obeys the policy sent with its file."""
    answer.headers.update(HEADERS)
    return answer
