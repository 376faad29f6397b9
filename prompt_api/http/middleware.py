"""All that surrounds a request, in one ordered list."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Flask

from prompt_api.http import gate, measured, redis_waits, request_scope
from prompt_api.http.layer import Layer
from prompt_api.http.services import Services
from shared.observe.tracing import Tracer


def layers(services: Services, tracer: Tracer) -> tuple[Layer, ...]:
    """The layers around each route, the outermost first.

    A request enters them from the first to the last, and leaves them from the last to the first.
    """
    return (
        request_scope.layer(tracer),  # its id, its line in the log, its span: also for what the others refuse
        measured.layer(services.metrics),  # its counts and times: the gate below is one of the times
        redis_waits.layer(services.settings.redis_timeout),  # how long it may wait for Redis: the gate asks Redis too
        gate.layer(services.access),  # who may do what, how often, on whose images
        measured.admitted_layer(),  # the time that the layers above took
    )


def surround(app: Flask, ordered: Iterable[Layer]) -> None:
    """Put `ordered` around every route of `app`, the first layer outermost."""
    listed = tuple(ordered)
    for layer in reversed(listed):
        if layer.wrap is not None:
            app.wsgi_app = layer.wrap(app.wsgi_app)  # type: ignore[method-assign, assignment]  # Flask's way
    for layer in listed:
        # Flask calls the first kind in this order, and the other two in the reverse order.
        if layer.enter is not None:
            app.before_request(layer.enter)
        if layer.leave is not None:
            app.after_request(layer.leave)
        if layer.end is not None:
            app.teardown_request(layer.end)
