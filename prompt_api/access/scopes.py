"""What a request needs: one rule for all routes, read by the guard and by the OpenAPI document.

A route that nobody thought of needs a token: only what is listed here is open.
"""

from __future__ import annotations

from enum import StrEnum

PUBLIC = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz"})
"""Paths without anybody's data: the pages and what describes them, and what orchestrators ask."""

_PUBLIC_FOLDERS = ("/static/", "/docs/static/")
_READING = frozenset({"GET", "HEAD"})


class Scope(StrEnum):
    """What a token may be good for."""

    READ = "read"
    """Look, prompt, download embeddings and decoders."""

    WRITE = "write"
    """Upload and delete."""


class Quota(StrEnum):
    """What is counted per client."""

    PROMPTS = "prompts"
    UPLOADS = "uploads"


def needed_scope(method: str, route: str) -> Scope | None:
    """The scope that a request needs, None if anybody may make it.

    Args:
        method: upper case.
        route: path of the route, its parameters as placeholders of any kind.
    """
    # Browsers send OPTIONS without a token, before the request proper; it shows and changes nothing.
    if method == "OPTIONS" or route in PUBLIC or route.startswith(_PUBLIC_FOLDERS):
        return None
    return Scope.READ if method in _READING or _prompts(route) else Scope.WRITE


def spent_quota(method: str, route: str) -> Quota | None:
    """What a request counts as, None if it is not counted. Arguments as `needed_scope`."""
    if method != "POST":
        return None
    if _prompts(route) or route == "/label-studio/predict":
        return Quota.PROMPTS
    return Quota.UPLOADS if route == "/v1/images" else None


def _prompts(route: str) -> bool:
    return route.startswith("/v1/images/") and route.endswith("/masks")
