"""Turns the marks of an annotator into prompts of this service."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prompt_api.integrations.x_anylabeling.wire import Mark
from prompt_api.service.prompts import ImagePrompt, MasksQuery
from prompt_api.wire.requests import MAX_PROMPTS, MAX_REQUEST_POINTS, parse_prompt
from shared.contract.errors import InvalidPrompt


def query_of(marks: Sequence[Mark]) -> MasksQuery | None:
    """Return the prompts that the marks make, or None if they make none.

    Each rectangle makes one prompt, together with all points. Points without a rectangle make one prompt. Negative
    points alone make none. SAM's authors advise choosing from three masks if one point may mean a part or the whole,
    so a single point asks for three.

    Raises:
        InvalidPrompt: a mark has the wrong number of coordinates, a rectangle has no area or is negative, or there are
            too many marks.
    """
    points = [mark for mark in marks if mark.type == "point"]
    boxes = [_box(mark) for mark in marks if mark.type == "rectangle"]
    if len(boxes) > MAX_PROMPTS:
        raise InvalidPrompt(f"at most {MAX_PROMPTS} rectangles can be answered at once")
    if len(boxes) * len(points) > MAX_REQUEST_POINTS:
        raise InvalidPrompt(f"the prompts of one request have at most {MAX_REQUEST_POINTS} points together")
    fields: dict[str, Any] = {}
    if points:
        fields = {"points": [_point(mark) for mark in points], "labels": [mark.label for mark in points]}
    if boxes:
        return MasksQuery(tuple(parse_prompt({**fields, "box": box}) for box in boxes), multimask=False)
    if not any(mark.label for mark in points):
        return None
    prompt = parse_prompt(fields)
    return MasksQuery((prompt,), multimask=_is_one_point(prompt))


def _is_one_point(prompt: ImagePrompt) -> bool:
    return prompt.box is None and len(prompt.points) == 1


def _point(mark: Mark) -> list[float]:
    if len(mark.data) != 2:
        raise InvalidPrompt("a point has two coordinates")
    return mark.data


def _box(mark: Mark) -> list[float]:
    if len(mark.data) != 4:
        raise InvalidPrompt("a rectangle has four coordinates")
    if not mark.label:
        raise InvalidPrompt("SAM takes no rectangle that is not part of the object; use a point")
    (left, right), (top, bottom) = sorted(mark.data[::2]), sorted(mark.data[1::2])
    return [left, top, right, bottom]
