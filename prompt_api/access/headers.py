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
        # Of an answer that is no page nothing is run, loaded or framed, should a browser take it for one.
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    }
)
"""What an answer has that does not say otherwise; the pages do, see `prompt_api.http.routes`."""
