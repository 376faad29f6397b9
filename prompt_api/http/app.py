"""The Flask application: blueprints around `Services`."""

from __future__ import annotations

from flask import Flask

from prompt_api.http import middleware, problem_answers
from prompt_api.http.routes import (
    browser_runtime,
    documentation,
    everything,
    health,
    images,
    label_studio,
    masks,
    metrics,
    models,
    page,
    regions,
    samapi,
    similar,
    x_anylabeling,
)
from prompt_api.http.services import Services
from shared.observe.tracing import NO_TRACER, Tracer


def create_app(services: Services, tracer: Tracer = NO_TRACER) -> Flask:
    """Return a WSGI application that serves `services`. It opens no connections and no files itself."""
    app = Flask("prompt_api", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # only the default provider has this attribute
    app.extensions["sam"] = services
    middleware.surround(app, middleware.layers(services, tracer))
    problem_answers.register(app)
    api = (images, regions, masks, similar, models, health, metrics, documentation, page, browser_runtime, everything)
    for module in (*api, label_studio, x_anylabeling, samapi):
        app.register_blueprint(module.blueprint)
    return app
