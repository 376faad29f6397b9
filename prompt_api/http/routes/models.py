"""`/v1/models`: the served models and their decoders."""

from __future__ import annotations

from typing import cast

from flask import Blueprint, Response, jsonify, request, send_file, url_for

from prompt_api.http import parameters
from prompt_api.http.services import services
from prompt_api.models.browser_runtime import RUNTIME
from prompt_api.models.interface import DecoderForm
from prompt_api.models.onnx.shared_constants import joined
from prompt_api.wire.answers import BrowserDecoder, ModelDescription
from shared.contract.errors import ModelNotFound
from shared.contract.models import SAM1, Model, StoredAs

blueprint = Blueprint("models", __name__, url_prefix="/v1/models")


@blueprint.get("")
def index() -> Response:
    return jsonify({"models": [_describe(model) for model in services().models.values()]})


@blueprint.get("/<name>")
def show(name: str) -> Response:
    return jsonify(_describe(services().model(name)))


@blueprint.get("/<name>/decoder.onnx")
def decoder(name: str) -> Response:
    api = services()
    model = api.model(name)
    files = api.decoder_files.get(model.name)
    if not files:
        raise ModelNotFound(f"model {name!r} has no decoder graph to download")
    form = parameters.decoder_form()
    if form is DecoderForm.META and model.architecture.frame != SAM1.frame:
        raise ModelNotFound(f"model {name!r} has no decoder graph in the form of segment_anything's export")
    # The graph never changes while its weights do not, so the digest of the weights is its strong ETag.
    etag = model.weights_digest[:32]
    if form is DecoderForm.PLAIN:
        answer = send_file(files[form], mimetype="application/octet-stream", etag=etag, conditional=True)
    else:
        etag = f"{etag}-{form}"
        known = request.if_none_match.contains(etag)  # then the body is not sent, and need not be made
        answer = Response(b"" if known else joined(files[form]), content_type="application/octet-stream")
        answer.set_etag(etag)
        answer.make_conditional(request, accept_ranges=True, complete_length=answer.content_length)
    answer.headers["Cache-Control"] = "public, max-age=3600"
    return answer


@blueprint.get("/<name>/decoder")
def browser_decoder(name: str) -> Response:
    api = services()
    model = api.model(name)
    status, detail = api.browser.status(model)
    split = api.browser.decoder(model)
    body: BrowserDecoder = {
        "model": model.name,
        "weights_digest": model.weights_digest,
        "status": status,
        "detail": detail,
        "runtime": RUNTIME.version,
        "digest": None if split is None else split.digest,
        "parts": {} if split is None else {name: path.stat().st_size for name, path in split.parts.items()},
    }
    answer = jsonify(body)
    answer.headers["Cache-Control"] = "no-cache"
    return answer


@blueprint.get("/<name>/decoder/<digest>/<part>.onnx")
def decoder_part(name: str, digest: str, part: str) -> Response:
    api = services()
    path = api.browser.part(api.model(name), digest, part)
    answer = send_file(path, mimetype="application/octet-stream", etag=f"{digest}-{part}", conditional=True)
    answer.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    answer.make_conditional(request)
    return answer


def _describe(model: Model) -> ModelDescription:
    api = services()
    has_decoder = model.name in api.decoder_files
    stored = model.architecture.stored_as(cast(StoredAs, api.settings.embedding_dtype))
    first = model.architecture.tensors[0]
    return {
        "name": model.name,
        "title": model.title,
        "default": model.name == api.settings.model,
        "weights_digest": model.weights_digest,
        "licence": model.licence,
        "architecture": model.architecture.name,
        "image_size": model.architecture.frame.side,
        "frame": {"name": model.architecture.frame.name, "side": model.architecture.frame.side},
        "embedding": {"shape": list(first.shape), "dtype": "float16", "stored_as": stored[first.name]},
        "tensors": [
            {"name": spec.name, "shape": list(spec.shape), "dtype": "float16", "stored_as": stored[spec.name]}
            for spec in model.architecture.tensors
        ],
        "workers": api.workers.of(model),
        "mask_workers": api.workers.masking(model),
        "links": {"decoder": url_for("models.decoder", name=model.name) if has_decoder else None},
    }
