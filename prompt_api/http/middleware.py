"""The layers around every request, in one ordered list."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Flask

from prompt_api.http import gate, held_answers, measured, path_tokens, redis_waits, request_scope
from prompt_api.http.layer import Layer
from prompt_api.http.services import Services
from shared.observe.tracing import Tracer


def layers(services: Services, tracer: Tracer) -> tuple[Layer, ...]:
    """Return the layers around each route, the outermost first.

    A request enters them from the first to the last, and leaves them from the last to the first.
    """
    return (
        path_tokens.layer(),  # takes a token out of the path; the layers below log and trace the path
        request_scope.layer(tracer),  # request id, log line and span, also for requests that the layers below refuse
        measured.layer(services.metrics),  # counts and times; the gate below is one of the times
        redis_waits.layer(services.settings.redis_timeout),  # limits the waits for Redis; the gate asks Redis too
        gate.layer(services.access),  # page, token, scope, rate limits, owner of the image
        measured.admitted_layer(),  # measures the time of the layers above
        held_answers.layer(services.answers),  # counts large answers; the layers above see one that it refuses
    )


def surround(app: Flask, ordered: Iterable[Layer]) -> None:
    """Put `ordered` around every route of `app`, the first layer outermost."""
    listed = tuple(ordered)
    for layer in reversed(listed):
        if layer.wrap is not None:
            app.wsgi_app = layer.wrap(app.wsgi_app)  # type: ignore[method-assign, assignment]  # Flask's way
    for layer in listed:
        # Flask calls `before_request` hooks in this order, and the other two kinds in reverse order.
        if layer.enter is not None:
            app.before_request(layer.enter)
        if layer.leave is not None:
            app.after_request(layer.leave)
        if layer.end is not None:
            app.teardown_request(layer.end)
