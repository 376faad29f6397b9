"""Answers every error with a problem document, Flask's own errors included."""

from __future__ import annotations

import json
import logging
from typing import Any

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from prompt_api.wire import no_room, problems
from shared.contract import errors
from shared.observe import log_context

_log = logging.getLogger(__name__)


def response(
    status: int, code: str, detail: str, *, extra: dict[str, Any] | None = None, retry_after: float | None = None
) -> Response:
    log_context.add(code=code)
    body = json.dumps(problems.document(status, code, detail, extra))
    return Response(body, status, headers=problems.headers(code, retry_after), content_type=problems.MEDIA_TYPE)


def from_error(error: errors.SamCacheError) -> Response:
    status = problems.STATUS.get(type(error))
    if status is None:
        _log.error("an error without an HTTP status reached a route: answering 500", exc_info=error)
        return internal_error()
    if status == 503:
        _log.warning("%s: %s", error.code, error.detail)
    return response(status, error.code, error.detail, extra=error.extra, retry_after=error.retry_after)


def internal_error() -> Response:
    return response(500, "internal-error", "the service failed; its log says why")


def register(app: Flask) -> None:
    """Make `app` answer every error with a problem document, Flask's own errors included."""

    @app.errorhandler(errors.SamCacheError)
    def known(error: errors.SamCacheError) -> Response:
        return from_error(error)

    @app.errorhandler(HTTPException)
    def framework(error: HTTPException) -> Response:
        status = error.code or 500
        # `HTTPStatus` phrases are not used, because they change between Python versions.
        code = error.name.lower().replace(" ", "-")
        answer = response(status, code, error.description or error.name)
        for name, value in error.get_headers():
            if name.lower() not in ("content-type", "content-length"):
                answer.headers[name] = value
        return answer

    @app.errorhandler(MemoryError)
    def no_memory(error: MemoryError) -> Response:
        _log.error("there is no memory left for a request", exc_info=error)
        return from_error(errors.Overloaded("there is no memory left for this request now", retry_after=1))

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:
        if no_room.is_no_room(error):
            return from_error(no_room.overloaded("the request's files"))
        _log.error("unhandled error", exc_info=error)
        return internal_error()
