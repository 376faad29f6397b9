"""Gives every request its id, its log line and its span, also when it fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from flask import request
from werkzeug.wsgi import ClosingIterator

from prompt_api.http.layer import Layer
from prompt_api.http.methods import KNOWN_METHODS
from prompt_api.http.route_template import template_of
from shared.contract.errors import ImageNotFound
from shared.contract.keys import parse_image_id
from shared.observe import log_context, tracing
from shared.observe.request_id import HEADER, request_id_of
from shared.observe.tracing import SpanKind, Tracer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_QUIET = frozenset({"/healthz", "/readyz", "/metrics", "/label-studio/health"})
"""Routes that health checks and Prometheus call all the time. They are logged at DEBUG."""

_TOLD = ("image_id", "model", "code")
"""Log fields that are also attributes of the span."""

_LONGEST_PATH = 256

_log = logging.getLogger("prompt_api.requests")


def layer(tracer: Tracer) -> Layer:
    """Return the layer that gives each request its id, its log line and its span."""

    def wrap(app: WSGIApplication) -> WSGIApplication:
        return _Surrounded(app, tracer)

    def say_what_it_is_about() -> None:
        if request.url_rule is None:
            return
        log_context.add(route=template_of(request.url_rule.rule))
        try:
            log_context.add(image_id=parse_image_id((request.view_args or {}).get("image_id", "")))
        except ImageNotFound:
            return

    return Layer(wrap=wrap, enter=say_what_it_is_about)


class _Surrounded:
    """A WSGI application that wraps another one."""

    def __init__(self, app: WSGIApplication, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        present = _Request(environ, self._tracer)

        def start(line: str, headers: list[tuple[str, str]], error: object = None) -> Callable[[bytes], object]:
            present.status = int(line.split(" ", 1)[0])
            return start_response(line, [*headers, (HEADER, present.id)], error)  # type: ignore[arg-type]  # passed on

        try:
            body = self._app(environ, start)
        except BaseException:
            present.end()
            raise
        if type(body) is environ.get("wsgi.file_wrapper"):  # the server sends the file only if it is not wrapped
            present.end()
            return body
        return ClosingIterator(body, present.end)


class _Request:
    """One request, from its arrival until the last byte of its answer is sent or its client disconnects.

    Attributes:
        id: see `shared.observe.request_id`.
        status: of the answer.
    """

    def __init__(self, environ: WSGIEnvironment, tracer: Tracer) -> None:
        self.id = request_id_of(environ.get("HTTP_X_REQUEST_ID"))
        self.status = 500
        self._began = time.perf_counter()
        self._method = environ["REQUEST_METHOD"] if environ["REQUEST_METHOD"] in KNOWN_METHODS else "_OTHER"
        self._path = environ.get("PATH_INFO", "")[:_LONGEST_PATH]
        attributes = {
            "http.request.method": self._method,
            "url.path": self._path,
            "url.scheme": environ.get("wsgi.url_scheme", "http"),
            "sam.request_id": self.id,
        }
        self._span = tracer.begin(
            self._method, SpanKind.SERVER, parent=environ.get("HTTP_TRACEPARENT", ""), attributes=attributes
        )
        self._context = ExitStack()
        self._context.enter_context(log_context.fresh(request_id=self.id, **tracing.log_fields(self._span)))
        self._context.enter_context(tracing.entered(self._span))

    def end(self) -> None:
        with self._context:
            found = {name: str(value) for name, value in log_context.fields().items()}
            self._write_line(found.get("route"))
            self._end_span(found)

    def _write_line(self, route: str | None) -> None:
        elapsed = 1000 * (time.perf_counter() - self._began)
        more = {} if route else {"path": self._path}  # for a known route the path adds only ids or file names
        _log.log(
            logging.DEBUG if route in _QUIET else logging.INFO,
            "%s %s %d in %.1f ms",
            self._method,
            route or self._path,
            self.status,
            elapsed,
            extra={"method": self._method, "status": self.status, "duration_ms": round(elapsed, 2), **more},
        )

    def _end_span(self, found: Mapping[str, str]) -> None:
        about: dict[str, str | int] = {f"sam.{name}": found[name] for name in _TOLD if name in found}
        route = found.get("route")
        if route:
            about["http.route"] = route
        if self.status >= 500:
            about["error.type"] = found.get("code", str(self.status))
            self._span.fail(found.get("code", ""))
        self._span.describe(
            {**about, "http.response.status_code": self.status}, name=f"{self._method} {route}" if route else None
        )
        self._span.end()
