"""Masks of the image as prompts: checked, and with their box."""

from __future__ import annotations

from dataclasses import replace

from prompt_api.masks.given import GivenMask, KnownMask
from prompt_api.masks.runs import ColumnRuns
from prompt_api.service.prompts import Box, ImagePrompt
from shared.contract.errors import InvalidPrompt
from shared.contract.geometry import Size


def with_known_mask(prompt: ImagePrompt, original: Size, where: str) -> ImagePrompt:
    """Return the prompt with its mask decoded, and with a box if it has none of its own.

    SAM hardly follows a mask alone (segment-anything#169). So the box around the mask and the positive points is used
    too.

    Args:
        original: (height, width) of the EXIF-oriented original.
        where: names the prompt in the message.

    Raises:
        InvalidPrompt: the mask is broken or empty, or has another size than the image.
    """
    if prompt.mask is None:
        return prompt
    runs = known_runs(prompt.mask, original, where)
    box = prompt.box or _box_around(runs.bbox, prompt)
    return replace(prompt, mask=KnownMask(runs), box=box)


def known_runs(mask: GivenMask, original: Size, where: str) -> ColumnRuns:
    """Return the runs of a mask that a client sent.

    Args:
        original: (height, width) of the EXIF-oriented original.
        where: names the mask in the message.

    Raises:
        InvalidPrompt: the mask is broken or empty, or has another size than the image.
    """
    height, width = original
    if mask.size != original:
        raise InvalidPrompt(
            f"{where}: the mask has {mask.size[1]}x{mask.size[0]} pixels, the image {width}x{height}",
            width=width,
            height=height,
        )
    try:
        runs = mask.runs()
    except ValueError as error:
        raise InvalidPrompt(f"{where}: {error}") from None
    if not runs.x.size:
        raise InvalidPrompt(f"{where}: the mask is empty")
    return runs


def _box_around(bbox: tuple[int, int, int, int], prompt: ImagePrompt) -> Box:
    x, y, width, height = bbox
    points = [(float(x), float(y)), (float(x + width), float(y + height)), *prompt.clicks]
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
