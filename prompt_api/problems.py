"""Errors as RFC 9457 problem details: the one map from the error tree to HTTP."""

from __future__ import annotations

import json
import logging
import math
from http import HTTPStatus
from typing import Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from shared import errors, log_context

MEDIA_TYPE = "application/problem+json"

STATUS: dict[type[errors.SamCacheError], int] = {
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.ImageNotFound: 404,
    errors.ModelNotFound: 404,
    errors.EmbeddingPending: 409,
    errors.ImageExpired: 410,
    errors.LengthRequired: 411,
    errors.ImageTooLarge: 413,
    errors.RequestTooLarge: 413,
    errors.UnsupportedImage: 415,
    errors.InvalidImage: 422,
    errors.InvalidPrompt: 422,
    errors.InvalidParameter: 422,
    errors.ImageUnreachable: 422,
    errors.EncodeFailed: 422,
    errors.RateLimited: 429,
    errors.StoreUnavailable: 503,
    errors.Overloaded: 503,
}
"""HTTP status of each error a client may meet. A class that is missing here is a bug and answered as 500."""

CHALLENGE = {401: "Bearer", 403: 'Bearer error="insufficient_scope"'}
"""`WWW-Authenticate` by status. Basic is not offered, though taken: browsers would ask for a user and a password."""

_log = logging.getLogger(__name__)


def document(status: int, code: str, detail: str, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """The problem document. `extra` may add members, never replace these."""
    return {
        **(extra or {}),
        "type": f"urn:sam-embedding-cache:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }


def response(
    status: int, code: str, detail: str, *, extra: dict[str, Any] | None = None, retry_after: float | None = None
) -> Response:
    log_context.add(code=code)
    body = json.dumps(document(status, code, detail, extra))
    return Response(body, status, headers=headers(status, retry_after), content_type=MEDIA_TYPE)


def headers(status: int, retry_after: float | None = None) -> dict[str, str]:
    """What the answer with a problem document has beside its type."""
    found = {"Cache-Control": "no-store"}
    if retry_after is not None:
        found["Retry-After"] = str(max(1, math.ceil(retry_after)))
    if status in CHALLENGE:
        found["WWW-Authenticate"] = CHALLENGE[status]
    return found


def from_error(error: errors.SamCacheError) -> Response:
    status = STATUS.get(type(error))
    if status is None:
        _log.error("an error that must not reach a client did", exc_info=error)
        return internal_error()
    if status == 503:
        _log.warning("%s: %s", error.code, error.detail)
    return response(status, error.code, error.detail, extra=error.extra, retry_after=error.retry_after)


def internal_error() -> Response:
    return response(500, "internal-error", "the service failed; its log says why")


def register(app: Flask) -> None:
    """Answer every error of `app`, the framework's own included, with a problem document."""

    @app.errorhandler(errors.SamCacheError)
    def known(error: errors.SamCacheError) -> Response:
        return from_error(error)

    @app.errorhandler(HTTPException)
    def framework(error: HTTPException) -> Response:
        status = error.code or 500
        # Not the phrase of HTTPStatus, which changes with the version of Python.
        code = error.name.lower().replace(" ", "-")
        answer = response(status, code, error.description or error.name)
        for name, value in error.get_headers():
            if name.lower() not in ("content-type", "content-length"):
                answer.headers[name] = value
        return answer

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:
        _log.error("unhandled error", exc_info=error)
        return internal_error()
