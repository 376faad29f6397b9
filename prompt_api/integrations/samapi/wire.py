"""The types of samapi's requests and answers. Members that this service does not use are accepted and ignored.

Source: `src/samapi/main.py` of samapi 0.7.1, and `SAMPromptParameters`, `SAMWeights` and `Utils` of
qupath-extension-sam 0.9.1.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from typing_extensions import TypedDict  # pydantic accepts `typing.TypedDict` only from Python 3.12 on

from prompt_api.wire.json_body import parse_json

SPOKEN = "0.7.1"
"""The version of samapi whose protocol this is."""

MAX_SENT_POINTS = 10_000
"""Most points of a request. QuPath sends every corner of an annotation that is not a rectangle."""

MAX_VALUES = 4 * MAX_SENT_POINTS
"""Most values in a request's JSON. The image is one value."""

Base64 = Annotated[bytes, WithJsonSchema({"type": "string"})]
Whole = Annotated[int, Field(ge=-(10**9), le=10**9)]


class SamType(StrEnum):
    """The model types that samapi knows."""

    VIT_H = "vit_h"
    VIT_L = "vit_l"
    VIT_B = "vit_b"
    VIT_T = "vit_t"
    SAM2_L = "sam2_l"
    SAM2_BP = "sam2_bp"
    SAM2_S = "sam2_s"
    SAM2_T = "sam2_t"
    SAM3 = "sam3"


class SamRequest(BaseModel):
    """Body of `POST /samapi/sam/`. Coordinates are pixels of the image that the request carries.

    Attributes:
        type: the model type; the service's default model without it.
        bbox: `[x0, y0, x1, y1]` of a box around the object.
        point_coords: `[x, y]` for each point. Of more than 64 points, 64 are used, evenly spread over the list.
        point_labels: one per point: 1 for a part of the object, 0 for what is not part of it.
        b64img: the image file in base64.
        b64mask: not served; leave it out.
        multimask_output: true returns SAM's three masks, false its single mask.
        checkpoint_url: the `url` of one of the weights that `GET /samapi/sam/weights/` lists. It decides the model.
    """

    model_config = ConfigDict(frozen=True)

    type: SamType | None = None
    bbox: tuple[Whole, Whole, Whole, Whole] | None = None
    point_coords: Annotated[list[tuple[Whole, Whole]], Field(max_length=MAX_SENT_POINTS)] | None = None
    point_labels: Annotated[list[Whole], Field(max_length=MAX_SENT_POINTS)] | None = None
    b64img: Base64
    b64mask: str | None = None
    multimask_output: bool = False
    checkpoint_url: Annotated[str, Field(max_length=4096)] | None = None


class Geometry(TypedDict):
    """The outline of a mask along pixel edges, as GeoJSON (RFC 7946), in pixels of the image.

    Attributes:
        type: `Polygon` for a mask of one part, `MultiPolygon` for one of several.
        coordinates: rings of `[x, y]`. The first ring of a polygon is its outer border, the others are its holes. Each
            ring ends with its first point.
    """

    type: Literal["Polygon", "MultiPolygon"]
    coordinates: list[Any]


class FeatureProperties(TypedDict):
    """Attributes:
    label: always `object`.
    quality: the IoU that the model predicts.
    sam_model: name of the model that answered.
    """

    label: Literal["object"]
    quality: float
    sam_model: str


class Feature(TypedDict):
    """One mask.

    Attributes:
        geometry: its outline.
        properties: facts about it.
    """

    type: Literal["Feature"]
    geometry: Geometry
    properties: FeatureProperties


class SamWeights(TypedDict):
    """Weights to choose from.

    Attributes:
        type: the model type that was asked for.
        name: name of a served model.
        url: stands for that model in `checkpoint_url`. Nothing is fetched from it.
    """

    type: SamType
    name: str
    url: str


class SamProgress(TypedDict):
    """The progress of a download of weights. This service downloads none.

    Attributes:
        message: always null.
        percent: always -1, which means that nothing is going on.
    """

    message: None
    percent: Literal[-1]


def parse_sam(body: bytes) -> SamRequest:
    """Parse the request in `body`.

    Raises:
        InvalidPrompt: there are too many values, the JSON is malformed, or the types above refuse it.
            `extra["errors"]` says where.
    """
    return parse_json(SamRequest, body, max_values=MAX_VALUES, max_containers=MAX_VALUES)
