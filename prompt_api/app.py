"""The Flask application: blueprints around `Services`."""

from __future__ import annotations

from flask import Flask

from prompt_api import measured, problems, request_scope
from prompt_api.access import guard
from prompt_api.routes import browser_runtime, documentation, health, images, label_studio, masks, metrics, models, page
from prompt_api.service import Services
from shared import allowance
from shared.tracing import NO_TRACER, Tracer

ALL_OPERATIONS = 2.0
"""What all operations of a request on Redis may take, in time-outs of a single one."""


def create_app(services: Services, tracer: Tracer = NO_TRACER) -> Flask:
    """A WSGI application that serves `services`. Opens nothing by itself."""
    app = Flask("prompt_api", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider's own attribute
    app.extensions["sam"] = services
    request_scope.register(app, tracer)
    problems.register(app)
    measured.register(app, services.metrics)
    _bound_waits(app, ALL_OPERATIONS * services.settings.redis_timeout)
    guard.register(app, services.access)
    app.before_request(measured.admitted)
    for module in (images, masks, models, health, metrics, documentation, page, browser_runtime, label_studio):
        app.register_blueprint(module.blueprint)
    return app


def _bound_waits(app: Flask, seconds: float) -> None:
    """Let each request of `app` wait for Redis `seconds` in all. It comes before the gate, which asks Redis too."""

    @app.before_request
    def begin() -> None:
        allowance.grant(seconds)

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        allowance.revoke()
