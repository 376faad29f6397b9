"""Errors as RFC 9457 problem details: the only map from the error tree to HTTP. It does not import flask."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

from shared.contract import errors

MEDIA_TYPE = "application/problem+json"

STATUS: dict[type[errors.SamCacheError], int] = {
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.ForeignOrigin: 403,
    errors.ImageNotFound: 404,
    errors.ModelNotFound: 404,
    errors.JobNotFound: 404,
    errors.NotServed: 404,
    errors.EmbeddingPending: 409,
    errors.ImageExpired: 410,
    errors.LengthRequired: 411,
    errors.ImageTooLarge: 413,
    errors.RequestTooLarge: 413,
    errors.UnsupportedImage: 415,
    errors.UnknownHost: 421,
    # Not 413, which is about the size of a request. This request is small, and only its answer would be too large.
    errors.AnswerTooLarge: 422,
    errors.InvalidImage: 422,
    errors.InvalidPrompt: 422,
    errors.InvalidParameter: 422,
    errors.ImageUnreachable: 422,
    errors.UrlNotAllowed: 422,
    errors.EncodeFailed: 422,
    errors.EverythingFailed: 422,
    errors.RateLimited: 429,
    errors.StoreUnavailable: 503,
    errors.Overloaded: 503,
}
"""HTTP status of each error that a client can get. A class that is missing here is a bug and is answered with 500."""

CHALLENGE = {errors.Unauthorized.code: "Bearer", errors.Forbidden.code: 'Bearer error="insufficient_scope"'}
"""`WWW-Authenticate` by code. Basic is accepted but not offered: browsers would ask for a user and a password."""


def document(status: int, code: str, detail: str, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the problem document. `extra` can add members but cannot replace the standard ones."""
    return {
        **(extra or {}),
        "type": f"urn:sam-embedding-cache:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }


def headers(code: str, retry_after: float | None = None) -> dict[str, str]:
    """Return the headers of an answer with a problem document, except `Content-Type`."""
    found = {"Cache-Control": "no-store"}
    if retry_after is not None:
        found["Retry-After"] = str(max(1, math.ceil(retry_after)))
    if code in CHALLENGE:
        found["WWW-Authenticate"] = CHALLENGE[code]
    return found
