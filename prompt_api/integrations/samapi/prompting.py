"""Turns the prompt of a samapi request into a prompt of this service."""

from __future__ import annotations

from typing import Any

import numpy as np

from prompt_api.integrations.samapi.wire import SamRequest
from prompt_api.service.prompts import MasksQuery
from prompt_api.wire.requests import MAX_POINTS, parse_prompt
from shared.contract.errors import InvalidPrompt


def query_of(asked: SamRequest) -> MasksQuery:
    """Return the prompt of the request: its box and its points together.

    Of more than `MAX_POINTS` points, that many are used, evenly spread over the list: QuPath sends every corner of an
    annotation that is not a rectangle, and neighbouring corners say the same.

    Raises:
        InvalidPrompt: there is neither a box nor a point, there are not as many labels as points, the box has no area,
            or the request carries a mask.
    """
    if asked.b64mask is not None:
        raise InvalidPrompt("b64mask is not served here; send a box or points")
    points, labels = asked.point_coords or [], asked.point_labels or []
    if len(points) != len(labels):
        raise InvalidPrompt("point_labels must hold exactly one label per point")
    if not points and asked.bbox is None:
        raise InvalidPrompt("send a bbox, or point_coords with point_labels")
    fields: dict[str, Any] = {}
    if points:
        kept = np.linspace(0, len(points) - 1, min(len(points), MAX_POINTS)).round().astype(int).tolist()
        fields |= {"points": [list(points[index]) for index in kept], "labels": [labels[index] for index in kept]}
    if asked.bbox is not None:
        fields["box"] = list(asked.bbox)
    return MasksQuery((parse_prompt(fields),), multimask=asked.multimask_output)
