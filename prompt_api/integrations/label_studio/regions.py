"""Turns masks into regions of Label Studio."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, cast

from prompt_api.integrations.label_studio.brush import encode_brush
from prompt_api.integrations.label_studio.config import MaskTarget
from prompt_api.integrations.label_studio.outline import outlines
from prompt_api.integrations.label_studio.wire import BrushValue, PolygonValue, Region
from prompt_api.masks.runs import ColumnRuns

_OWN_LABELS = ("brushlabels", "polygonlabels")


def shown_score(predicted: float) -> float:
    """Return the IoU that a model predicts as a score from 0 to 1, as Label Studio's schema wants it.

    A model can predict an IoU above 1.
    """
    return min(max(predicted, 0.0), 1.0)


def regions(
    runs: ColumnRuns, score: float, target: MaskTarget, to_name: str, page: int | None, *, tolerance: float = 0.0
) -> Iterator[Region]:
    """Yield the mask as regions of the target's tag: one for a brush, or one per part for polygons.

    An empty mask gives no region. If the label belongs to a separate `Labels` tag, it follows each region as an entry
    of its own, as Label Studio stores it.

    Args:
        score: the IoU that the model predicts, from 0 to 1.
        page: index of the page if the `Image` tag has several, otherwise None.
        tolerance: pixels by which polygons may leave the mask's edge; 0: as `outlines` chooses it.
    """
    if not runs.area:
        return
    height, width = runs.size
    for value in _values(runs, target.tag.kind, tolerance):
        shared: dict[str, Any] = {
            "id": secrets.token_hex(5),
            "to_name": to_name,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "score": score,
        }
        if page is not None:
            shared["item_index"] = page
        labels = [] if target.label is None else [target.label]
        kind = target.tag.kind
        own = {kind: labels} if kind in _OWN_LABELS else {}
        yield cast(Region, {**shared, "type": kind, "from_name": target.tag.name, "value": {**value, **own}})
        if target.labels_tag is not None:
            separate = {**value, "labels": labels}
            yield cast(Region, {**shared, "type": "labels", "from_name": target.labels_tag.name, "value": separate})


def _values(runs: ColumnRuns, kind: str, tolerance: float) -> Iterator[BrushValue | PolygonValue]:
    if kind in ("brushlabels", "brush"):
        yield {"format": "rle", "rle": encode_brush(runs)}
        return
    for points in outlines(runs, tolerance):
        yield {"points": points, "closed": True}
