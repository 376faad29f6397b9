"""Headers that tell a browser to be careful with an answer."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

EVERYWHERE: Mapping[str, str] = MappingProxyType(
    {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        # Pages of other origins may only read what CORS allows them, not embed it.
        "Cross-Origin-Resource-Policy": "same-origin",
        # If a browser takes an answer for a page, it must not run, load or frame anything.
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    }
)
"""The headers of every answer that does not set its own. The pages set their own, see `prompt_api.http.routes`."""
