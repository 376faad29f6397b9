"""The JSON types of a search for similar objects, and how a request becomes the query of the use case."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, Field, model_validator, with_config
from typing_extensions import TypedDict  # pydantic accepts `typing.TypedDict` only from Python 3.12 on

from prompt_api.masks.interface import MaskFormat
from prompt_api.masks.polygons import Polygon
from prompt_api.service.prompts import MAX_TOKEN, ImagePrompt
from prompt_api.service.similar_query import AskedExample, SimilarQuery
from prompt_api.similar.interface import MAX_LIMIT, SearchOptions
from prompt_api.wire.answers import Base64Png, Count, Pixels, Rle, Sha256
from prompt_api.wire.given_masks import MAX_MASKS, MAX_TOLERANCE, CleanInput, MaskInput, as_cleaning, as_mask
from prompt_api.wire.json_body import parse_json
from prompt_api.wire.requests import MAX_POINTS, MAX_REQUEST_POINTS, Box, Label, Point, as_box

MAX_EXAMPLES = 32
"""Most examples of one request."""

MAX_EXCLUDED = 1000
"""Most excluded masks of one request."""

MAX_COUNTS = 4 * 1024 * 1024
"""Most characters of all RLEs of one request together. A thousand outlines of objects take about half a million."""

LARGEST_SIZE = 100
"""Largest factor of `size`."""

_MAX_VALUES = 64 * 1024
"""Most values, and most arrays and objects, of a request's JSON. A thousand excluded masks take four each."""

_DEFAULT = SearchOptions()

_Part = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
_Factor = Annotated[float, Field(strict=True, ge=0, le=LARGEST_SIZE, allow_inf_nan=False)]

_GIVES_POINTS_OR_BOX: dict[str, Any] = {
    "anyOf": [
        {
            "properties": {"points": {"type": "array", "minItems": 1}, "labels": {"type": "array"}},
            "required": ["points", "labels"],
        },
        {"properties": {"box": {"type": "array"}}, "required": ["box"]},
    ]
}
_IS_ONE_EXAMPLE: dict[str, Any] = {
    "oneOf": [
        _GIVES_POINTS_OR_BOX,
        {"properties": {"mask_token": {"type": "string"}}, "required": ["mask_token"]},
        {"properties": {"mask": {"type": "object"}}, "required": ["mask"]},
    ]
}
"""The checks of `_is_one_example` that JSON Schema can express."""

_HAS_A_POSITIVE: dict[str, Any] = {
    "contains": {"not": {"properties": {"label": {"const": 0}}, "required": ["label"]}},
}


class ExampleInput(BaseModel):
    """One example of a search: exactly one of `points` and `box` together or alone, `mask_token`, and `mask`.

    Attributes:
        points: `[x, y]` for each point of a prompt, in pixels of the EXIF-oriented original of the example's image.
        labels: one per point, as in a prompt for masks.
        box: `[x0, y0, x1, y1]` with x0 < x1 and y0 < y1.
        mask_token: the token of an earlier mask of the example's image and the same model.
        mask: a mask of the size of the example's image.
        image_id: the image that the example is in; null or missing: the image that is searched.
        label: 1: what looks like this is meant; 0: it is not meant.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_IS_ONE_EXAMPLE)

    points: Annotated[list[Point], Field(max_length=MAX_POINTS)] | None = None
    labels: Annotated[list[Label], Field(max_length=MAX_POINTS)] | None = None
    box: Box | None = None
    mask_token: Annotated[str, Field(min_length=1, max_length=MAX_TOKEN)] | None = None
    mask: MaskInput | None = None
    image_id: Sha256 | None = None
    label: Annotated[int, Field(strict=True, ge=0, le=1)] = 1

    @model_validator(mode="after")
    def _is_one_example(self) -> ExampleInput:
        if len(self.points or ()) != len(self.labels or ()):
            raise ValueError("labels must hold exactly one label per point")
        prompt = bool(self.points) or self.box is not None
        if sum((prompt, self.mask_token is not None, self.mask is not None)) != 1:
            raise ValueError("give exactly one of a prompt (points with labels, box), mask_token and mask")
        if self.box is not None and not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise ValueError("a box is [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
        return self


class SimilarRequest(BaseModel):
    """Body of `POST /v1/images/{id}/similar`.

    Attributes:
        examples: at least one with the label 1.
        limit: the most masks of the answer.
        min_similarity: the least `similarity` of a mask.
        min_score: the least `score` of a mask.
        size: the least and the largest area of a mask, as factors of the areas of the examples with the label 1.
        exclude: masks of the image that is searched, which are known already. Nothing that is the same object (an IoU
            over 0.5) is in the answer.
        format: the format of each mask. The mask is in the member of this name.
        clean: what is cleaned in each mask.
        tolerance: pixels by which `polygons` may leave the mask's edge; 0 is the exact edge.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    examples: Annotated[
        list[ExampleInput], Field(min_length=1, max_length=MAX_EXAMPLES, json_schema_extra=_HAS_A_POSITIVE)
    ]
    limit: Annotated[int, Field(strict=True, ge=1, le=MAX_LIMIT)] = _DEFAULT.limit
    min_similarity: _Part = _DEFAULT.min_similarity
    min_score: _Part = _DEFAULT.min_score
    size: Annotated[list[_Factor], Field(min_length=2, max_length=2)] = list(_DEFAULT.size)
    exclude: Annotated[list[MaskInput], Field(max_length=MAX_EXCLUDED)] = []
    format: Literal["rle", "png", "polygons"] = "rle"
    clean: CleanInput = CleanInput()
    tolerance: Annotated[float, Field(strict=True, ge=0, le=MAX_TOLERANCE, allow_inf_nan=False)] = 0.0

    @model_validator(mode="after")
    def _is_affordable(self) -> SimilarRequest:
        if not any(example.label for example in self.examples):
            raise ValueError("examples: at least one example must have the label 1")
        if not self.size[0] < self.size[1]:
            raise ValueError("size: the first factor must be less than the second")
        if sum(len(example.points or ()) for example in self.examples) > MAX_REQUEST_POINTS:
            raise ValueError(f"examples: they have at most {MAX_REQUEST_POINTS} points together")
        masks = [*(example.mask for example in self.examples if example.mask is not None), *self.exclude]
        if sum(mask.png is not None for mask in masks) > MAX_MASKS:
            raise ValueError(f"at most {MAX_MASKS} masks of one request are PNGs; send the others as rle")
        if sum(len(mask.rle.counts) for mask in masks if mask.rle is not None) > MAX_COUNTS:
            raise ValueError(f"the masks of one request have at most {MAX_COUNTS} characters of rle together")
        return self


def parse_similar_request(body: bytes) -> SimilarQuery:
    """Parse the request in `body`, and convert it to the query of the use case.

    Raises:
        InvalidPrompt: the JSON is malformed, the types above refuse it, or the PNG of a mask is no such PNG.
            `extra["errors"]` says where.
    """
    asked = parse_json(SimilarRequest, body, max_values=_MAX_VALUES, max_containers=_MAX_VALUES)
    options = SearchOptions(
        limit=asked.limit,
        min_similarity=asked.min_similarity,
        min_score=asked.min_score,
        size=(asked.size[0], asked.size[1]),
    )
    return SimilarQuery(
        examples=tuple(_as_example(one, f"examples/{number}") for number, one in enumerate(asked.examples)),
        options=options,
        exclude=tuple(as_mask(mask, f"exclude/{number}") for number, mask in enumerate(asked.exclude)),
        format=MaskFormat(asked.format),
        cleaning=as_cleaning(asked.clean),
        tolerance=asked.tolerance,
    )


def _as_example(asked: ExampleInput, where: str) -> AskedExample:
    prompt = ImagePrompt(
        points=tuple((x, y) for x, y in asked.points or ()),
        labels=tuple(asked.labels or ()),
        box=None if asked.box is None else as_box(asked.box),
        mask_token=asked.mask_token,
        mask=None if asked.mask is None else as_mask(asked.mask, f"{where}/mask"),
    )
    return AskedExample(prompt, asked.image_id, asked.label)


@with_config(ConfigDict(json_schema_extra={"oneOf": [{"required": [form]} for form in ("rle", "png", "polygons")]}))
class SimilarMask(TypedDict):
    """One mask that looks like the examples. It is in the member that the request's `format` names.

    Attributes:
        similarity: how much it looks like the examples, 0 to 1.
        score: the model's prediction of the mask's IoU with the true mask.
        area: number of pixels of the original that the mask covers.
        bbox: `[x, y, width, height]` of those pixels.
        rle: COCO compressed RLE of the mask at the original's size.
        png: base64 of a 1-bit greyscale PNG of the original's size; the mask is white.
        polygons: the mask's parts as rings along pixel edges, without loss unless the request has a `tolerance`.
        mask_token: send it in a later prompt to refine this mask, or as an example of a later search.
        point: `[x, y]` of the point that gave the mask, in pixels of the original.
    """

    similarity: Annotated[float, Field(ge=0, le=1)]
    score: float
    area: Count
    bbox: tuple[Count, Count, Count, Count]
    rle: NotRequired[Rle]
    png: NotRequired[Base64Png]
    polygons: NotRequired[list[Polygon]]
    mask_token: str
    point: tuple[float, float]


class SimilarResponse(TypedDict):
    """The answer to a `SimilarRequest`.

    Attributes:
        image_id: lower-case hex SHA-256 of the uploaded bytes.
        model: the model that answered.
        width: width of the EXIF-oriented original in pixels.
        height: height of the EXIF-oriented original in pixels.
        masks: by falling similarity. No two are the same object, and none is one of `exclude`.
        truncated: whether there may be more: `limit`, the time limit or the rate limit ended the search.
    """

    image_id: Sha256
    model: str
    width: Pixels
    height: Pixels
    masks: list[SimilarMask]
    truncated: bool
