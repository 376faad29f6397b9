"""Browsers' pages of other origins: let in by an allow-list, exactly.

Credentials are never allowed: the API has no cookies, and a page that has a token sends it as a header itself. So the
few lines of the protocol that are left need no library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from shared.contract.errors import ConfigurationError

METHODS = "GET, HEAD, POST, DELETE"
REQUEST_HEADERS = "Authorization, Content-Type, If-None-Match, Range, Traceparent, X-Request-ID"
RESPONSE_HEADERS = "Content-Range, ETag, Location, Retry-After, Server-Timing, WWW-Authenticate, X-Request-ID"
"""What a script may read beyond the body and the few headers that are always readable."""

PREFLIGHT_SECONDS = 600

_HOST = re.compile(r"[a-z0-9.:_-]+")


def parse_origins(setting: str) -> frozenset[str]:
    """The origins of `SAM_CORS_ORIGINS`, as browsers write them.

    Raises:
        ConfigurationError: one of them is not an origin.
    """
    origins = frozenset(origin.strip() for origin in setting.split(",") if origin.strip())
    for origin in sorted(origins):
        if not _is_origin(origin):
            raise ConfigurationError(
                f"SAM_CORS_ORIGINS: {origin!r} is not an origin; say for example https://tool.example or "
                "http://localhost:5173, without a path; there is no wildcard, for any page on the web could then use "
                "the API of whoever looks at it"
            )
    return origins


def allowed(origin: str | None, origins: frozenset[str]) -> Mapping[str, str]:
    """Headers for the answer to a request from a page of `origin`; none where that is not allowed."""
    if not origins:
        return {}
    if origin not in origins:
        return {"Vary": "Origin"}
    return {"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": RESPONSE_HEADERS}


def preflight(origin: str | None, origins: frozenset[str]) -> Mapping[str, str]:
    """Headers for the answer to a browser that asks what it may send; none where the origin is not allowed."""
    if origin not in origins:
        return {}
    return {
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Headers": REQUEST_HEADERS,
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        return False
    host = f"[{host}]" if ":" in host else host
    return text == f"{parts.scheme}://{host}" + ("" if port is None else f":{port}")
