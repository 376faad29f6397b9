"""The JSON types of masks that clients send, and of how masks for them are cleaned."""

from __future__ import annotations

import base64
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from prompt_api.masks.cleaning import Cleaning, Keep
from prompt_api.masks.given import GivenMask, PngMask, RleMask
from shared.contract.errors import InvalidPrompt
from shared.contract.geometry import MAX_SIDE

MAX_MASKS = 16
"""Most masks as prompts in one request. To decode a PNG of the largest image takes about as long as ten prompts."""

MAX_COUNTS = 2 * 1024 * 1024
"""Most characters of the RLE of a mask prompt. A mask of 48 MP that is nothing but noise takes 1.3 million."""

MAX_CLEANED = MAX_SIDE * MAX_SIDE
"""Largest area in pixels of holes and specks that are cleaned: that of the largest image."""

MAX_TOLERANCE = 1000
"""Largest tolerance of polygons in pixels."""


class RleInput(BaseModel):
    """COCO compressed run-length encoding, as this service and pycocotools write it.

    Attributes:
        size: `[height, width]`.
        counts: lengths of alternating runs of background and mask pixels in column-major order, compressed to text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Annotated[list[Annotated[int, Field(strict=True, ge=1, le=MAX_SIDE)]], Field(min_length=2, max_length=2)]
    counts: Annotated[str, Field(strict=True, max_length=MAX_COUNTS)]


class MaskInput(BaseModel):
    """A binary mask of the image's size: exactly one of its members.

    Attributes:
        rle: the mask as a compressed RLE.
        png: base64 of a PNG, grey or with a palette, without transparency. Pixels that are not 0 are inside.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "oneOf": [
                {"properties": {"rle": {"type": "object"}, "png": {"type": "null"}}, "required": ["rle"]},
                {"properties": {"png": {"type": "string"}, "rle": {"type": "null"}}, "required": ["png"]},
            ]
        },
    )

    rle: RleInput | None = None
    png: Annotated[str, Field(strict=True)] | None = None

    @model_validator(mode="after")
    def _is_one_mask(self) -> MaskInput:
        if (self.rle is None) == (self.png is None):
            raise ValueError("give either rle or png")
        return self


class CleanInput(BaseModel):
    """How each mask is cleaned. By default it is not.

    Attributes:
        fill_holes: holes of at most so many pixels are filled. Background that reaches the edge of the image is no
            hole.
        remove_specks: with `keep` `all`, parts of at most so many pixels are removed, except the largest part.
        keep: which parts stay, after holes are filled. `largest`: the part of most pixels. `clicked`: the parts under
            the points with label 1; if there is none, the part nearest to one; without such points the largest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    fill_holes: Annotated[int, Field(strict=True, ge=0, le=MAX_CLEANED)] = 0
    remove_specks: Annotated[int, Field(strict=True, ge=0, le=MAX_CLEANED)] = 0
    keep: Keep = Keep.ALL


def as_mask(asked: MaskInput, where: str) -> GivenMask:
    """Convert a mask to the mask type of the use case. Only the structure of a PNG is read.

    Args:
        where: names the mask in an error message.

    Raises:
        InvalidPrompt: it is no base64, or no such PNG.
    """
    if asked.rle is not None:
        height, width = asked.rle.size
        return RleMask((height, width), asked.rle.counts)
    try:
        png = base64.b64decode(asked.png or "", validate=True)
    except ValueError:  # binascii.Error, or a plain ValueError for text that is not ASCII
        raise InvalidPrompt(f"{where}: png is not base64") from None
    try:
        return PngMask.read(png)
    except ValueError as error:
        raise InvalidPrompt(f"{where}: {error}") from None


def as_cleaning(asked: CleanInput) -> Cleaning:
    return Cleaning(asked.fill_holes, asked.remove_specks, asked.keep)
