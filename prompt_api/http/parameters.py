"""Query parameters and the image resource that several routes share."""

from __future__ import annotations

import math
import re

from flask import request, url_for

from prompt_api.http.services import services
from prompt_api.models.interface import DecoderForm
from prompt_api.service.images import ImageState
from prompt_api.wire.answers import ImageResource
from prompt_api.wire.limits import MAX_WAIT
from shared.contract.errors import InvalidParameter
from shared.contract.models import Model
from shared.contract.region import Corners, parse_region
from shared.observe import log_context

_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
"""A number as JSON writes it. `float` alone would accept more, such as digits of other scripts."""


def model() -> Model:
    """Return the model that `?model=` names, or the default model.

    Raises:
        ModelNotFound: this service does not serve it.
    """
    found = services().model(request.args.get("model"))
    log_context.add(model=found.name)
    return found


def wait() -> float:
    """Return the seconds of `?wait=`, from 0 to 30.

    Raises:
        InvalidParameter: it is not a number in that range.
    """
    text = request.args.get("wait", "0")
    seconds = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not 0 <= seconds <= MAX_WAIT:
        raise InvalidParameter(f"wait={text!r} must be a number of seconds from 0 to {MAX_WAIT:g}")
    return seconds


def region() -> Corners | None:
    """Return the corners of `?region=x0,y0,x1,y1`, not checked against an image yet; None without it.

    Raises:
        InvalidParameter: these are not four whole numbers.
    """
    text = request.args.get("region")
    return None if text is None else parse_region(text)


def decoder_form() -> DecoderForm:
    """Return the form of the decoder that `?form=` names; `plain` without it.

    Raises:
        InvalidParameter: there is no such form.
    """
    text = request.args.get("form", DecoderForm.PLAIN)
    try:
        return DecoderForm(text)
    except ValueError:
        raise InvalidParameter(f"form={text!r} must be one of {', '.join(DecoderForm)}") from None


def resource(state: ImageState) -> ImageResource:
    """Return the image resource for `state`, as the HTTP contract defines it."""
    height, width = state.original
    image_id, model, region = state.key.image_id, state.key.model, state.key.region
    part = None if region is None else ",".join(map(str, region.corners))
    return {
        "image_id": image_id,
        "model": model,
        "region": None if region is None else region.corners,
        "status": state.status,
        "width": width,
        "height": height,
        "queue_position": state.queue_position,
        "workers": state.workers,
        "error": None if state.error is None else {"code": state.error.code, "detail": state.error.detail},
        "links": {
            "self": url_for("images.show", image_id=image_id, model=model, region=part),
            "masks": url_for("masks.create", image_id=image_id, model=model),
            "embedding": url_for("images.embedding", image_id=image_id, model=model, region=part),
            "events": url_for("images.events", image_id=image_id, model=model, region=part),
        },
    }
