"""CORS: an allow-list of the exact origins whose pages may call the API from a browser.

Credentials are never allowed: the API has no cookies, and a page that has a token sends it in a header itself. The rest
of the protocol is a few lines, which need no library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from shared.contract.errors import ConfigurationError

METHODS = "GET, HEAD, POST, DELETE"
REQUEST_HEADERS = "Authorization, Content-Type, If-None-Match, Range, Traceparent, X-Request-ID"
RESPONSE_HEADERS = "Content-Range, ETag, Location, Retry-After, Server-Timing, WWW-Authenticate, X-Request-ID"
"""Headers that a script may read, besides the few that it can always read."""

PREFLIGHT_SECONDS = 600

_HOST = re.compile(r"[a-z0-9.:_-]+")


def parse_origins(setting: str) -> frozenset[str]:
    """Return the origins of `SAM_CORS_ORIGINS`, as browsers write them.

    Raises:
        ConfigurationError: an entry is not an origin.
    """
    origins = frozenset(origin.strip() for origin in setting.split(",") if origin.strip())
    for origin in sorted(origins):
        if not _is_origin(origin):
            raise ConfigurationError(
                f"SAM_CORS_ORIGINS: {origin!r} is not an origin; say for example https://tool.example or "
                "http://localhost:5173, without a path. There is no wildcard, because it would let any page on the "
                "web use the API through its visitors' browsers"
            )
    return origins


def allowed(origin: str | None, origins: frozenset[str]) -> Mapping[str, str]:
    """Return the headers of an answer to a page of `origin`. They allow nothing if `origin` is not in `origins`."""
    if not origins:
        return {}
    if origin not in origins:
        return {"Vary": "Origin"}
    return {"Vary": "Origin", "Access-Control-Allow-Origin": origin, "Access-Control-Expose-Headers": RESPONSE_HEADERS}


def preflight(origin: str | None, origins: frozenset[str]) -> Mapping[str, str]:
    """Return the further headers of an answer to a preflight request; none if `origin` is not in `origins`."""
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
