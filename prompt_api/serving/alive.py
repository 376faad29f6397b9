"""Answers `/healthz` without the application, because it must be answered while all request threads are busy."""

from __future__ import annotations

from waitress.parser import HTTPRequestParser

PATH = "/healthz"
BODY = b'{"status":"ok"}\n'
MEDIA_TYPE = "application/json"

RESERVED = frozenset({"/readyz", "/label-studio/health"})
"""Further checks. They ask Redis or run the application, so they have a thread of their own."""


def asks_if_alive(request: HTTPRequestParser) -> bool:
    return request.error is None and request.path == PATH and request.command in ("GET", "HEAD")


def is_check(request: HTTPRequestParser) -> bool:
    """Return whether the request is one of those that the reserved thread answers."""
    return request.error is None and (request.path in RESERVED or request.path == PATH)
