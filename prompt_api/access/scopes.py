"""What a request needs: one rule for all routes, used by the gate and by the OpenAPI document.

Only the routes listed here are open, so a route that nobody thought of needs a token.
"""

from __future__ import annotations

from enum import StrEnum

PUBLIC = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz", "/x-anylabeling/health"})
"""Paths without anybody's data: the pages, the description of the API, and the health checks of orchestrators."""

_PUBLIC_FOLDERS = ("/static/", "/docs/static/")
_TOOLS_PROMPT = frozenset({"/label-studio/predict", "/x-anylabeling/v1/predict", "/samapi/sam/"})
"""Routes on which annotation tools prompt images that they name or carry."""

_READING = frozenset({"GET", "HEAD"})


class Scope(StrEnum):
    """What a token may allow."""

    READ = "read"
    """See images' states, prompt, have regions encoded, ask for every mask or what is alike, download embeddings and
    decoders."""

    WRITE = "write"
    """Upload and delete."""


class Quota(StrEnum):
    """What rate limits count per client."""

    PROMPTS = "prompts"
    UPLOADS = "uploads"


def needed_scope(method: str, route: str) -> Scope | None:
    """Return the scope that a request needs, or None if anybody may make it.

    Args:
        method: upper case.
        route: path of the route, with any kind of placeholder for each parameter.
    """
    # Browsers send OPTIONS without a token before the actual request. It shows nothing and changes nothing.
    if method == "OPTIONS" or route in PUBLIC or route.startswith(_PUBLIC_FOLDERS):
        return None
    reads = method in _READING or _prompts(route) or _is_for_prompts(route) or _everything(route)
    return Scope.READ if reads else Scope.WRITE


def spent_quota(method: str, route: str) -> Quota | None:
    """Return what a request counts as, or None if it is not counted. The arguments are those of `needed_scope`."""
    if method != "POST":
        return None
    if _prompts(route) or route in _TOOLS_PROMPT:
        return Quota.PROMPTS
    # An everything job waits in a queue and then takes a worker for a while, as an upload does.
    return Quota.UPLOADS if route == "/v1/images" or _everything(route) else None


def _is_for_prompts(route: str) -> bool:
    """Return whether the route has regions encoded. A prompt may do that too, so it needs the same scope."""
    return route.startswith("/v1/images/") and route.endswith("/regions")


def _prompts(route: str) -> bool:
    return route.startswith("/v1/images/") and route.endswith(("/masks", "/similar"))


def _everything(route: str) -> bool:
    return route.startswith("/v1/images/") and "/everything" in route
