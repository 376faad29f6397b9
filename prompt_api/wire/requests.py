"""The JSON types of a prompt request, and their conversion to the types of the use case."""

from __future__ import annotations

import base64
from itertools import combinations
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from prompt_api.masks.given import GivenMask
from prompt_api.masks.interface import MaskFormat
from prompt_api.remote_images.fetch import MAX_URL
from prompt_api.service.prompts import AUTO, MAX_TOKEN, ImagePrompt, MasksQuery
from prompt_api.wire.given_masks import (
    MAX_MASKS,
    MAX_TOLERANCE,
    CleanInput,
    MaskInput,
    as_cleaning,
    as_mask,
)
from prompt_api.wire.json_body import parse_json, refused_as_invalid_prompt
from shared.contract.errors import InvalidParameter, InvalidPrompt
from shared.contract.models import REGISTRY
from shared.contract.region import Corners

MAX_PROMPTS = 64
MAX_POINTS = 64
"""Most points of one prompt. The decoder's time grows with their square: 64 points cost as much as 16 prompts, 256
points as much as 200."""
MAX_REQUEST_POINTS = 1024
"""Most points of all prompts of a request together."""

MAX_REGIONS = 64
"""Most regions of one request."""

_MAX_LOGITS = 4 * max(model.architecture.low_res_side for model in REGISTRY.values()) ** 2
"""Most characters of `mask_logits`. Each number is two bytes, which take less than three characters in base64."""

MAX_REFERENCE_BODY = 16 * 1024
"""Most bytes of the JSON of an upload by URL."""

_MAX_VALUES = MAX_PROMPTS * (3 * MAX_POINTS + 16)
"""Most values in a request's JSON: three per point, 16 for the other members of a prompt, and room to spare."""

_FAR = 1_000_000_000
"""A pixel that no image has. Corners between this and the image are numbers, but no region."""

Coordinate = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Label = Annotated[int, Field(strict=True, ge=-1, le=3)]
Point = Annotated[list[Coordinate], Field(min_length=2, max_length=2)]
Box = Annotated[list[Coordinate], Field(min_length=4, max_length=4)]
WholePixel = Annotated[int, Field(strict=True, ge=-_FAR, le=_FAR)]
CornersInput = Annotated[list[WholePixel], Field(min_length=4, max_length=4)]
"""`[x0, y0, x1, y1]` of a region. Whether it is a region of the image is checked later."""


_GIVES_A_PROMPT: dict[str, Any] = {
    "anyOf": [
        {
            "properties": {"points": {"type": "array", "minItems": 1}, "labels": {"type": "array"}},
            "required": ["points", "labels"],
        },
        {"properties": {"box": {"type": "array"}}, "required": ["box"]},
        {"properties": {"mask_token": {"type": "string"}}, "required": ["mask_token"]},
        {"properties": {"mask_logits": {"type": "string"}}, "required": ["mask_logits"]},
        {"properties": {"mask": {"type": "object"}}, "required": ["mask"]},
    ],
    "not": {
        "anyOf": [
            {"properties": {one: {"type": kinds[one]} for one in both}, "required": [*both]}
            for kinds in ({"mask_token": "string", "mask_logits": "string", "mask": "object"},)
            for both in combinations(kinds, 2)
        ]
    },
}
"""The checks of `_is_a_prompt` that JSON Schema can express."""


_ONE_OF_BOTH: dict[str, Any] = {
    "oneOf": [
        {
            "properties": {name: {"type": "array"}},
            "required": [name],
            "not": {"properties": {other: {"type": "array"}}, "required": [other]},
        }
        for name, other in (("regions", "around"), ("around", "regions"))
    ]
}
"""The checks of `_is_one_of_both` that JSON Schema can express."""


class PromptInput(BaseModel):
    """One prompt, in pixels of the EXIF-oriented original.

    Attributes:
        points: `[x, y]` for each point.
        labels: one per point: 1 for foreground, 0 for background. As in segment_anything's ONNX export, -1 is a point
            that says nothing (padding), and 2 and 3 are the first and second corner of a box, in any order of
            coordinates.
        box: `[x0, y0, x1, y1]` with x0 < x1 and y0 < y1.
        mask_token: the token of an earlier mask of the same image and model.
        mask_logits: the low-res logits of an earlier answer: base64 of 256x256 little-endian float16.
        mask: a mask to refine, of the image's size. If the prompt has no box, the box around the mask and the positive
            points is used too.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_GIVES_A_PROMPT)

    points: Annotated[list[Point], Field(max_length=MAX_POINTS)] | None = None
    labels: Annotated[list[Label], Field(max_length=MAX_POINTS)] | None = None
    box: Box | None = None
    mask_token: Annotated[str, Field(min_length=1, max_length=MAX_TOKEN)] | None = None
    mask_logits: Annotated[str, Field(max_length=_MAX_LOGITS)] | None = None
    mask: MaskInput | None = None

    @model_validator(mode="after")
    def _is_a_prompt(self) -> PromptInput:
        if len(self.points or ()) != len(self.labels or ()):
            raise ValueError("labels must hold exactly one label per point")
        masks = sum(one is not None for one in (self.mask_token, self.mask_logits, self.mask))
        if not self.points and self.box is None and not masks:
            raise ValueError("give at least one of points, box, mask_token, mask_logits, mask")
        if masks > 1:
            raise ValueError("give only one of mask_token, mask_logits and mask")
        if self.box is not None and not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise ValueError("a box is [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
        return self


class ImageReference(BaseModel):
    """An image by its URL, as the body of `POST /v1/images`.

    Attributes:
        url: `https://…` on a host, or `s3://bucket/key` in a bucket, from which this service may fetch images. The key
            of an object is not escaped.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(strict=True, min_length=1, max_length=MAX_URL)]


def parse_image_reference(body: bytes) -> ImageReference:
    """Parse the JSON body of an upload.

    Raises:
        InvalidParameter: it is not an `ImageReference`.
    """
    if len(body) > MAX_REFERENCE_BODY:
        raise InvalidParameter(f"the JSON of an upload has at most {MAX_REFERENCE_BODY} bytes")
    try:
        return parse_json(ImageReference, body, max_values=100, max_containers=100)
    except InvalidPrompt as error:
        raise InvalidParameter(f'the JSON of an upload is {{"url": "…"}}: {error.detail}') from None


class RegionsRequest(BaseModel):
    """Body of `POST /v1/images/{id}/regions`: exactly one of its members.

    Attributes:
        regions: `[x0, y0, x1, y1]` for each region, whole pixels inside the image, at least 16 a side. The whole image
            is no region, but may be asked for.
        around: `[x0, y0, x1, y1]` of objects, with x0 < x1 and y0 < y1. The service takes the region that suits each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_ONE_OF_BOTH)

    regions: Annotated[list[CornersInput], Field(min_length=1, max_length=MAX_REGIONS)] | None = None
    around: Annotated[list[Box], Field(min_length=1, max_length=MAX_REGIONS)] | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> RegionsRequest:
        if (self.regions is None) == (self.around is None):
            raise ValueError("give either regions or around")
        for number, box in enumerate(self.around or ()):
            if not (box[0] < box[2] and box[1] < box[3]):
                raise ValueError(f"around/{number} is [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
        return self


def parse_regions_request(body: bytes) -> RegionsRequest:
    """Parse the body of a request for regions.

    Raises:
        InvalidParameter: it is not a `RegionsRequest`.
    """
    try:
        return parse_json(RegionsRequest, body, max_values=_MAX_VALUES, max_containers=_MAX_VALUES)
    except InvalidPrompt as error:
        raise InvalidParameter(f'the body is {{"regions": […]}} or {{"around": […]}}: {error.detail}') from None


class MasksRequest(BaseModel):
    """Body of `POST /v1/images/{id}/masks`.

    Attributes:
        prompts: answered in order, independently of each other.
        multimask: `true` returns SAM's three masks for each prompt, `false` its single mask.
        format: the format of each mask. The mask is in the member of this name.
        logits: `true` adds each mask's low-res logits, with any format.
        clean: what is cleaned in each mask. It changes the mask in every format, its area and its box, but neither
            logits nor tokens.
        tolerance: pixels by which `polygons` may leave the mask's edge, and the edge the polygons; 0 is the exact edge.
        region: `[x0, y0, x1, y1]`, whole pixels inside the image: the prompts are answered from this part of it alone.
            `auto`: from the part that suits them, once that is encoded. Without it, from the whole image.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompts: Annotated[list[PromptInput], Field(min_length=1, max_length=MAX_PROMPTS)]
    multimask: Annotated[bool, Field(strict=True)] = True
    format: MaskFormat = MaskFormat.RLE
    logits: Annotated[bool, Field(strict=True)] = False
    region: CornersInput | Literal["auto"] | None = None
    clean: CleanInput = CleanInput()
    tolerance: Annotated[float, Field(strict=True, ge=0, le=MAX_TOLERANCE, allow_inf_nan=False)] = 0.0

    @model_validator(mode="after")
    def _is_affordable(self) -> MasksRequest:
        if sum(len(prompt.points or ()) for prompt in self.prompts) > MAX_REQUEST_POINTS:
            raise ValueError(f"the prompts of one request have at most {MAX_REQUEST_POINTS} points together")
        if sum(prompt.mask is not None for prompt in self.prompts) > MAX_MASKS:
            raise ValueError(f"at most {MAX_MASKS} prompts of one request have a mask")
        return self


def parse_request(body: bytes) -> MasksRequest:
    """Parse the request in `body`.

    Raises:
        InvalidPrompt: the JSON is malformed, or the types above refuse it. `extra["errors"]` says where.
    """
    return parse_json(MasksRequest, body, max_values=_MAX_VALUES, max_containers=_MAX_VALUES)


def as_query(asked: MasksRequest, *, low_res_side: int) -> MasksQuery:
    """Convert the request to the query of the use case.

    Args:
        low_res_side: side of the model's low-res logits.

    Raises:
        InvalidPrompt: `mask_logits` are not logits of this model, or the PNG of a `mask` is no such PNG.
    """
    prompts = tuple(
        as_prompt(
            prompt,
            _logits_of(prompt, f"prompts/{number}", low_res_side),
            None if prompt.mask is None else as_mask(prompt.mask, f"prompts/{number}/mask"),
        )
        for number, prompt in enumerate(asked.prompts)
    )
    return MasksQuery(
        prompts,
        multimask=asked.multimask,
        format=asked.format,
        logits=asked.logits,
        region=asked.region if asked.region == AUTO else as_corners(asked.region),
        cleaning=as_cleaning(asked.clean),
        tolerance=asked.tolerance,
    )


def as_corners(asked: list[int] | None) -> Corners | None:
    return None if asked is None else (asked[0], asked[1], asked[2], asked[3])


def as_box(asked: list[float]) -> tuple[float, float, float, float]:
    return asked[0], asked[1], asked[2], asked[3]


def as_prompt(
    asked: PromptInput, mask_logits: NDArray[np.float32] | None = None, mask: GivenMask | None = None
) -> ImagePrompt:
    """Convert one prompt to the prompt type of the use case.

    Args:
        mask_logits: the decoded `mask_logits` of the prompt.
        mask: its `mask`.
    """
    return ImagePrompt(
        points=tuple((x, y) for x, y in asked.points or ()),
        labels=tuple(asked.labels or ()),
        box=None if asked.box is None else as_box(asked.box),
        mask_token=asked.mask_token,
        mask_logits=mask_logits,
        mask=mask,
    )


def parse_prompt(fields: dict[str, Any]) -> ImagePrompt:
    """Convert one prompt without logits from decoded JSON to the prompt type of the use case.

    Raises:
        InvalidPrompt: the types above refuse it.
    """
    with refused_as_invalid_prompt():
        return as_prompt(PromptInput.model_validate(fields))


def parse_mask_logits(text: str, where: str, side: int) -> NDArray[np.float32]:
    """Return (side, side) float32 logits from base64 of little-endian float16.

    Args:
        where: names the prompt in an error message.
        side: side of the model's low-res logits.

    Raises:
        InvalidPrompt: it is not base64, has another size, or has values that are not finite.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:  # binascii.Error, or a plain ValueError for text that is not ASCII
        raise InvalidPrompt(f"{where}: mask_logits is not base64") from None
    expected = side * side * 2
    if len(raw) != expected:
        raise InvalidPrompt(
            f"{where}: mask_logits must be {expected} bytes ({side}x{side} float16) before base64, it has {len(raw)}"
        )
    logits = np.frombuffer(raw, dtype="<f2").astype(np.float32).reshape(side, side)
    if not np.isfinite(logits).all():
        raise InvalidPrompt(f"{where}: mask_logits has numbers that are not finite")
    return logits


def _logits_of(prompt: PromptInput, where: str, side: int) -> NDArray[np.float32] | None:
    return None if prompt.mask_logits is None else parse_mask_logits(prompt.mask_logits, where, side)
