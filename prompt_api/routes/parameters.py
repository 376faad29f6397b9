"""Query parameters and the image resource, shared by the routes."""

from __future__ import annotations

import math
from typing import Any

from flask import current_app, request, url_for

from prompt_api.service import Services
from prompt_api.service.images import ImageState
from shared.errors import InvalidParameter
from shared.models import Model

MAX_WAIT = 30.0


def services() -> Services:
    found = current_app.extensions["sam"]
    assert isinstance(found, Services)
    return found


def model() -> Model:
    """The model named by `?model=`, or the default one.

    Raises:
        ModelNotFound: this service does not serve it.
    """
    return services().model(request.args.get("model"))


def wait() -> float:
    """Seconds of `?wait=`, 0 to 30.

    Raises:
        InvalidParameter: anything else.
    """
    text = request.args.get("wait", "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_WAIT:
        raise InvalidParameter(f"wait={text!r} must be a number of seconds from 0 to {MAX_WAIT:g}")
    return seconds


def resource(state: ImageState) -> dict[str, Any]:
    """The image resource of the contract."""
    height, width = state.original
    names: dict[str, Any] = {"image_id": state.key.image_id, "model": state.key.model}
    return {
        **names,
        "status": state.status,
        "width": width,
        "height": height,
        "queue_position": state.queue_position,
        "error": None if state.error is None else {"code": state.error.code, "detail": state.error.detail},
        "links": {
            "self": url_for("images.show", **names),
            "masks": url_for("masks.create", **names),
            "embedding": url_for("images.embedding", **names),
            "events": url_for("images.events", **names),
        },
    }
