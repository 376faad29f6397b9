"""Takes a token out of the path of a request, before the request is logged, traced or routed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from prompt_api.access.tool_tokens import without_token
from prompt_api.http.layer import Layer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def layer() -> Layer:
    """Return the layer that moves a token in the path to `Authorization`, unless the request has that header."""

    def wrap(app: WSGIApplication) -> WSGIApplication:
        def moved(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            path, token = without_token(environ.get("PATH_INFO", ""))
            if token is not None:
                environ["PATH_INFO"] = path
                environ.pop("REQUEST_URI", None)
                environ.pop("RAW_URI", None)
                environ.setdefault("HTTP_AUTHORIZATION", f"Bearer {token}")
            return app(environ, start_response)

        return moved

    return Layer(wrap=wrap)
