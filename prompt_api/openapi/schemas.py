"""Makes JSON Schemas from the types of requests and answers. The descriptions come from the types' docstrings."""

from __future__ import annotations

import inspect
import re
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from prompt_api.integrations.label_studio import wire
from prompt_api.integrations.samapi import wire as samapi
from prompt_api.integrations.x_anylabeling import wire as x_anylabeling
from prompt_api.wire import answers
from prompt_api.wire.everything import EverythingJob, EverythingRequest
from prompt_api.wire.requests import ImageReference, MasksRequest, RegionsRequest
from prompt_api.wire.similar import SimilarRequest, SimilarResponse
from shared.contract.picture_formats import NAMED
from shared.contract.settings import Settings

_REQUESTS: tuple[type, ...] = (
    MasksRequest,
    RegionsRequest,
    ImageReference,
    EverythingRequest,
    SimilarRequest,
    wire.PredictRequest,
    wire.ProjectSetup,
    wire.AnyEvent,
    x_anylabeling.AnyLabelingPredictRequest,
    samapi.SamRequest,
)
_ANSWERS: tuple[type, ...] = (
    answers.ImageResource,
    answers.MasksResponse,
    EverythingJob,
    SimilarResponse,
    answers.RegionsResponse,
    answers.ModelDescription,
    answers.ModelList,
    answers.BrowserDecoder,
    answers.Alive,
    answers.Readiness,
    answers.Problem,
    wire.BackendHealth,
    wire.SetupAnswer,
    wire.PredictAnswer,
    wire.Noted,
    x_anylabeling.AnyLabelingHealth,
    x_anylabeling.AnyLabelingModels,
    x_anylabeling.AnyLabelingModelAnswer,
    x_anylabeling.AnyLabelingPredictAnswer,
    samapi.Feature,
    samapi.SamWeights,
    samapi.SamProgress,
)

_ATTRIBUTE = re.compile(r"^(\w+): ", re.MULTILINE)


def schemas(settings: Settings) -> dict[str, Any]:
    """Return `components/schemas`: every type by name, and the image file, which is not JSON."""
    wanted: list[tuple[type, JsonSchemaMode]] = [(kind, "validation") for kind in _REQUESTS]
    wanted += [(kind, "serialization") for kind in _ANSWERS]
    _, generated = TypeAdapter.json_schemas(
        [(kind, mode, TypeAdapter(kind)) for kind, mode in wanted], ref_template="#/components/schemas/{model}"
    )
    found = {name: _described(schema) for name, schema in generated["$defs"].items()}
    found["ImageFile"] = _image_file(settings)
    return found


def _image_file(settings: Settings) -> dict[str, Any]:
    return {
        "description": f"A still {NAMED} of at most {settings.max_upload_bytes:,} bytes and "
        f"{settings.max_image_pixels:,} pixels. EXIF orientation is applied, transparency is composited over white, "
        "CMYK and grey are converted to RGB. 16-bit grey, and TIFF of more than 8 bits or of floats, is stretched from "
        "its least to its greatest value, each channel by itself; other 16-bit values keep their high byte. Of several "
        "pictures or pages the first counts.",
        # For binary data, OpenAPI 3.1 leaves `type` out and counts `maxLength` in bytes.
        "maxLength": settings.max_upload_bytes,
    }


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """Move the `Attributes:` of `schema` to the members that they describe, and drop the titles that pydantic adds."""
    text, _, attributes = schema.pop("description", "").partition("Attributes:\n")
    known = _sections(inspect.cleandoc(attributes))
    schema.pop("title", None)
    for name, member in schema.get("properties", {}).items():
        member.pop("title", None)
        if name in known:
            member["description"] = known[name]
    text = " ".join(text.split())
    return {"description": text, **schema} if text else schema


def _sentence(text: str) -> str:
    words = " ".join(text.split())
    return words[:1].upper() + words[1:]


def _sections(text: str) -> dict[str, str]:
    """Return descriptions by attribute, from `name: description` lines and their continuation lines."""
    _, *parts = _ATTRIBUTE.split(text)
    return {name: _sentence(words) for name, words in zip(parts[::2], parts[1::2], strict=True)}
