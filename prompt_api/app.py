"""The Flask application: blueprints around `Services`."""

from __future__ import annotations

from flask import Flask

from prompt_api import problems
from prompt_api.routes import documentation, health, images, masks, models, page
from prompt_api.service import Services


def create_app(services: Services) -> Flask:
    """A WSGI application that serves `services`. Opens nothing by itself."""
    app = Flask("prompt_api", static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider's own attribute
    app.extensions["sam"] = services
    problems.register(app)
    for module in (images, masks, models, health, documentation, page):
        app.register_blueprint(module.blueprint)
    return app
