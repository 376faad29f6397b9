"""Requests generated from the OpenAPI document, valid and invalid: no 5xx, and each answer as documented."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from PIL import Image
from schemathesis.config import SchemathesisConfig

from prompt_api.openapi.document import build
from shared.contract.errors import EncodeFailed
from shared.contract.keys import EmbeddingKey
from shared.contract.picture_formats import MEDIA_TYPES
from shared.contract.settings import Settings
from tests.support.world import OTHER, World, png

EXAMPLES = 25
READY, PENDING, FAILED = png(), png(colour=(2, 2, 2)), png(colour=(1, 1, 1))


def gif() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "GIF")
    return file.getvalue()


# Files of every kind. JSON Schema describes only the length of an image file, so it cannot generate images.
FILES = st.sampled_from([READY, png(31, 7), READY[:-20], gif(), b"", b"Dear annotator"]) | st.binary(max_size=64)
for kind in (*MEDIA_TYPES, "application/octet-stream"):
    schemathesis.openapi.media_type(kind, FILES)


def narrowed_document() -> dict[str, Any]:
    """Return the document, limited to the ids of the images in `stocked` and of one that was never uploaded."""
    document = build(Settings(model="fake"), ["fake", OTHER.name])
    known = [hashlib.sha256(data).hexdigest() for data in (READY, PENDING, FAILED)]
    document["components"]["parameters"]["image_id"]["schema"] = {"enum": [*known, "0" * 64]}
    return document


def plausible_document() -> dict[str, Any]:
    """Return the narrowed document, limited to valid prompts: as many labels as points, all near the image."""
    document = narrowed_document()
    near = {"type": "number", "minimum": -80, "maximum": 160}
    low, high = {"type": "integer", "minimum": 0, "maximum": 40}, {"type": "integer", "minimum": 41, "maximum": 80}
    members = {
        "points": {"type": "array", "items": {"type": "array", "items": near, "minItems": 2, "maxItems": 2}},
        "labels": {"type": "array", "items": {"enum": [0, 1]}},
        "box": {"type": "array", "prefixItems": [low, low, high, high], "minItems": 4, "maxItems": 4},
    }
    for name in ("points", "labels"):
        members[name] |= {"minItems": 3, "maxItems": 3}
    prompt = {"type": "object", "properties": members, "required": ["points", "labels"], "additionalProperties": False}
    document["components"]["schemas"]["PromptInput"] = prompt
    document["components"]["schemas"]["MasksRequest"]["properties"]["prompts"]["maxItems"] = 3
    return document


def described(document: dict[str, Any], **more: Any) -> Any:
    checks = {
        # JSON Schema cannot express what a picture is, or that there are as many labels as points.
        "positive_data_acceptance": {"enabled": False},
        "negative_data_rejection": {"expected-statuses": ["4XX"]},
    }
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig.from_dict({"checks": checks, **more}))
    schema.app = Flask("stand-in")  # each test passes its own app
    return schema


# The page at / is served from a file, and these calls would leave the file open.
anything = described(narrowed_document()).exclude(path="/")
plausible = described(plausible_document(), generation={"mode": "positive"}).include(operation_id="createMasks")
bounded = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def stocked(world: World) -> World:
    """A service with an image in each state. No thread may wait, so every `wait` is answered at once."""

    def fail(_: EmbeddingKey) -> None:
        raise EncodeFailed("out of memory")

    world.client.post("/v1/images", data=FAILED)
    for _ in range(3):
        world.queue.run_next(fail)
    world.ready_image(READY)
    world.client.post("/v1/images", data=PENDING)
    while world.services.waiters.acquire(blocking=False):
        pass
    return world


@anything.parametrize()
@bounded
def test_answers_keep_to_the_document(case: schemathesis.Case, stocked: World) -> None:
    case.call_and_validate(app=stocked.client.application)


@plausible.parametrize()
@bounded
def test_masks_keep_to_the_document(case: schemathesis.Case, stocked: World) -> None:
    case.call_and_validate(app=stocked.client.application)
