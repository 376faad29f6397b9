"""The prompts of a client, in pixels of the EXIF-oriented original."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.cleaning import AS_IT_IS, Cleaning
from prompt_api.masks.given import GivenMask
from prompt_api.masks.interface import MaskFormat
from prompt_api.models.interface import Prompt
from shared.contract.errors import InvalidPrompt
from shared.contract.frames import Frame
from shared.contract.geometry import Size
from shared.contract.region import Corners

Point = tuple[float, float]
"""(x, y)."""

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) with x0 < x1 and y0 < y1."""


AUTO: Literal["auto"] = "auto"
"""The region of a request that leaves it to the service."""

FOREGROUND = 1
"""Label of a point on the object."""

MAX_TOKEN = 8192
"""Characters of a mask token."""


@dataclass(frozen=True, slots=True)
class ImagePrompt:
    """One prompt. It has points, a box, a mask token, mask logits or a mask, and at most one of the last three.

    Mask logits and masks do not count when two prompts are compared.

    Attributes:
        points: each (x, y).
        labels: one per point, 1 foreground, 0 background, -1 padding, 2 and 3 the corners of a box.
        box: a box, or None.
        mask_token: the token of an earlier mask of the same image and model, or None.
        mask_logits: (S, S) float32 low-res logits to refine, finite, or None.
        mask: a mask of the whole image to refine, or None.
    """

    points: tuple[Point, ...] = ()
    labels: tuple[int, ...] = ()
    box: Box | None = None
    mask_token: str | None = None
    mask_logits: NDArray[np.float32] | None = field(default=None, compare=False)
    mask: GivenMask | None = field(default=None, compare=False)

    @property
    def clicks(self) -> list[Point]:
        """The points on the object."""
        return [point for point, label in zip(self.points, self.labels, strict=True) if label == FOREGROUND]


@dataclass(frozen=True, slots=True, eq=False)
class MasksQuery:
    """Prompts on one image, and the form of their masks.

    Attributes:
        prompts: answered in order, independently of each other.
        multimask: True asks for SAM's three masks for each prompt, False for its single mask.
        format: how each mask is written.
        logits: True adds each mask's low-res logits to any format.
        region: the corners of the part of the image that answers, not checked yet; None for the whole image; `auto` for
            the part that suits the prompts.
        cleaning: what is cleaned in each mask. Its clicks are the positive points of the prompt.
        tolerance: pixels by which polygons may leave the mask's edge.
    """

    prompts: tuple[ImagePrompt, ...]
    multimask: bool = True
    format: MaskFormat = MaskFormat.RLE
    logits: bool = False
    region: Corners | Literal["auto"] | None = None
    cleaning: Cleaning = AS_IT_IS
    tolerance: float = 0.0


def check_position(prompt: ImagePrompt, original: Size, where: str) -> None:
    """Refuse coordinates that are more than one image size outside the image.

    Args:
        original: (height, width) of the EXIF-oriented original.
        where: names the prompt in the message.

    Raises:
        InvalidPrompt: a coordinate is too far out.
    """
    height, width = original
    corners = () if prompt.box is None else (prompt.box[:2], prompt.box[2:])
    for x, y in (*prompt.points, *corners):
        if not (-width <= x <= 2 * width and -height <= y <= 2 * height):
            raise InvalidPrompt(
                f"{where}: ({x:g}, {y:g}) is more than one image size outside the {width}x{height} image",
                width=width,
                height=height,
            )


def to_decoder_frame(
    prompt: ImagePrompt,
    frame: Frame,
    size: Size,
    mask: NDArray[np.float32] | None,
    *,
    corner: tuple[int, int] = (0, 0),
) -> Prompt:
    """Return `prompt` for the decoder, with pixels of the original moved to pixels of the model's frame.

    Args:
        size: (height, width) of what was encoded, the image or a region of it.
        mask: (S, S) float32 low-res logits to refine, over the same, or None.
        corner: (x, y) of its upper left corner in the original.
    """
    points = np.array(prompt.points, dtype=np.float64).reshape(-1, 2) - corner
    box = None if prompt.box is None else frame.points(np.array(prompt.box).reshape(2, 2) - corner, size).reshape(4)
    return Prompt(
        points=frame.points(points, size),
        labels=np.array(prompt.labels, dtype=np.int64),
        box=box,
        mask=mask,
    )


def as_fields(prompt: ImagePrompt) -> dict[str, Any]:
    """Return a prompt without logits as plain JSON; `from_fields` reads it back."""
    fields: dict[str, Any] = {}
    if prompt.points:
        fields |= {"points": prompt.points, "labels": prompt.labels}
    if prompt.box is not None:
        fields["box"] = prompt.box
    if prompt.mask_token is not None:
        fields["mask_token"] = prompt.mask_token
    return fields


def from_fields(fields: Any) -> ImagePrompt:
    """Return the prompt that `as_fields` wrote. A client may have changed the fields on the way.

    Raises:
        ValueError: the fields are not a prompt.
    """
    if not isinstance(fields, Mapping) or fields.keys() - {"points", "labels", "box", "mask_token"}:
        raise ValueError("not the fields of a prompt")
    points = tuple(_numbers(point, 2) for point in _list(fields.get("points", [])))
    labels = tuple(_label(label) for label in _list(fields.get("labels", [])))
    box = _numbers(fields["box"], 4) if "box" in fields else None
    token = fields.get("mask_token")
    if "mask_token" in fields and not (isinstance(token, str) and 0 < len(token) <= MAX_TOKEN):
        raise ValueError("not a token")
    if len(points) != len(labels) or not (points or box or token):
        raise ValueError("a prompt needs a label for each point, and a point, a box or a token")
    if box is not None and not (box[0] < box[2] and box[1] < box[3]):
        raise ValueError("not a box")
    return ImagePrompt(
        points=tuple((x, y) for x, y in points),
        labels=labels,
        box=None if box is None else (box[0], box[1], box[2], box[3]),
        mask_token=token,
    )


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError("not a list")  # noqa: TRY004 - one exception type for every malformed prompt
    return value


def _numbers(value: Any, count: int) -> tuple[float, ...]:
    numbers = _list(value)
    if len(numbers) != count or not all(type(number) in (int, float) for number in numbers):
        raise ValueError("not numbers")
    try:
        found = tuple(float(number) for number in numbers)
    except OverflowError:  # a whole number of more than 308 digits
        raise ValueError("not finite") from None
    if not all(map(math.isfinite, found)):
        raise ValueError("not finite")
    return found


def _label(value: Any) -> int:
    if type(value) is not int or value not in (-1, 0, 1, 2, 3):
        raise ValueError("not a label")
    return value
