"""Turns the regions that an annotator drew with a smart tool into prompts of this service."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prompt_api.integrations.label_studio.wire import Drawn
from prompt_api.service.prompts import ImagePrompt
from prompt_api.wire.requests import MAX_PROMPTS, parse_prompt
from shared.contract.errors import InvalidPrompt
from shared.contract.geometry import Size

_POINTS = ("keypointlabels", "keypoint")
_BOXES = ("rectanglelabels", "rectangle")


@dataclass(frozen=True, slots=True)
class Interaction:
    """The drawn regions that are prompts, all on one image.

    Attributes:
        to_name: name of the `Image` tag.
        page: index of the page if the `Image` tag has several, otherwise None.
        points: keypoints, the latest last.
        boxes: rectangles, the latest last.
        separate_labels: the label that a `Labels` tag gives a region, by region id.
    """

    to_name: str
    page: int | None
    points: tuple[Drawn, ...]
    boxes: tuple[Drawn, ...]
    separate_labels: dict[str, str]

    @property
    def count(self) -> int:
        """Number of prompts."""
        return 1 if self.points else len(self.boxes)

    def prompts(self, original: Size) -> list[tuple[ImagePrompt, str | None]]:
        """Return each prompt with its label.

        Points make one prompt for one object, together with the latest rectangle if there is one. Rectangles without
        points make one prompt each. Negative points alone make no prompt.

        Args:
            original: (height, width) of the EXIF-oriented original.

        Raises:
            InvalidPrompt: a region lacks coordinates, a rectangle has no area, there are too many rectangles, or the
                image is rotated in the editor.
        """
        for drawn in (*self.points, *self.boxes):
            if drawn.image_rotation % 360:
                raise InvalidPrompt("the image is rotated in the editor; rotate it back to use smart tools")
        if len(self.boxes) > MAX_PROMPTS:
            raise InvalidPrompt(f"at most {MAX_PROMPTS} rectangles can be answered at once")
        if not self.points:
            return [(parse_prompt({"box": _box(one, original)}), self._label(one)) for one in self.boxes]
        if not self.boxes and not any(one.is_positive for one in self.points):
            return []
        fields: dict[str, Any] = {
            "points": [_point(one, original) for one in self.points],
            "labels": [int(one.is_positive) for one in self.points],
        }
        if self.boxes:
            fields["box"] = _box(self.boxes[-1], original)
        return [(parse_prompt(fields), self._label(self.points[-1]))]

    def _label(self, drawn: Drawn) -> str | None:
        value = drawn.value
        own = value.keypointlabels or value.rectanglelabels or value.labels
        return own[0] if own else self.separate_labels.get(drawn.id)


def interaction(result: Sequence[Drawn]) -> Interaction | None:
    """Return the prompts in `result` on the same image and page as the latest one, or None without any prompt."""
    drawn = [one for one in result if one.type in (*_POINTS, *_BOXES)]
    if not drawn:
        return None
    latest = drawn[-1]
    here = [one for one in drawn if (one.to_name, one.item_index) == (latest.to_name, latest.item_index)]
    return Interaction(
        to_name=latest.to_name,
        page=latest.item_index,
        points=tuple(one for one in here if one.type in _POINTS),
        boxes=tuple(one for one in here if one.type in _BOXES),
        separate_labels={one.id: one.value.labels[0] for one in result if one.type == "labels" and one.value.labels},
    )


def _point(drawn: Drawn, original: Size) -> list[float]:
    x, y = drawn.value.x, drawn.value.y
    if x is None or y is None:
        raise InvalidPrompt(f"the {drawn.type} {drawn.id!r} has no x and y")
    height, width = original
    return [x / 100 * width, y / 100 * height]


def _box(drawn: Drawn, original: Size) -> list[float]:
    """Return [x0, y0, x1, y1] in pixels. For a rotated rectangle it is the upright rectangle around it."""
    if drawn.value.width is None or drawn.value.height is None:
        raise InvalidPrompt(f"the {drawn.type} {drawn.id!r} has no width and height")
    x, y = _point(drawn, original)
    height, width = original
    across, down = drawn.value.width / 100 * width, drawn.value.height / 100 * height
    angle = math.radians(drawn.value.rotation)
    cos, sin = math.cos(angle), math.sin(angle)
    corners = [(a * cos - b * sin, a * sin + b * cos) for a in (0.0, across) for b in (0.0, down)]
    xs, ys = zip(*corners, strict=True)
    return [x + min(xs), y + min(ys), x + max(xs), y + max(ys)]
