"""The requests of tools that carry an image: they are read, or refused as invalid prompts or images."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompt_api.integrations.carried_images import unpacked
from prompt_api.integrations.samapi.geojson import geometry
from prompt_api.integrations.samapi.prompting import query_of as samapi_query
from prompt_api.integrations.samapi.wire import MAX_SENT_POINTS, parse_sam
from prompt_api.integrations.x_anylabeling.prompting import query_of as x_anylabeling_query
from prompt_api.integrations.x_anylabeling.server import base64_of
from prompt_api.integrations.x_anylabeling.shapes import shapes
from prompt_api.integrations.x_anylabeling.wire import ShapeForm, parse_predict
from prompt_api.masks.runs import ColumnRuns
from prompt_api.service.prompts import MasksQuery
from prompt_api.wire.requests import MAX_POINTS, MAX_PROMPTS, MAX_REQUEST_POINTS
from shared.contract.errors import InvalidImage, InvalidPrompt


def check(data: bytes) -> None:
    """Check the bytes. The first says what the rest is: a body of X-AnyLabeling or of samapi, or the bits of a mask."""
    kind, rest = data[:1], data[1:]
    if kind == b"m":
        _check_mask(rest)
        return
    try:
        if kind == b"s":
            _check_samapi(rest)
        else:
            _check_x_anylabeling(rest)
    except InvalidPrompt as refusal:
        _must_be_short(refusal)
    except InvalidImage:
        return


def seeds() -> Iterator[bytes]:
    image = base64.b64encode(b"an image").decode()
    marks = [
        {"type": "point", "data": [48, 30], "label": 1},
        {"type": "rectangle", "data": [72.5, 48, 24, 16], "label": 1},
        {"type": "auto_grid"},
    ]
    for some in (marks, marks[:1], []):
        params = {"marks": some, "epsilon_factor": 0.001, "current_task": "rotation", "conf_threshold": 0.0}
        url = f"data:image/png;base64,{image}"
        yield b"x" + json.dumps({"model": "mobile_sam", "image": url, "params": params}).encode()
    box: dict[str, Any] = {"bbox": [1, 2, 30, 40]}
    points: dict[str, Any] = {"point_coords": [[1, 2], [3, 4]], "point_labels": [0, 1]}
    for prompt in (box, points, {**box, **points, "multimask_output": True}, {"b64mask": image}):
        yield b"s" + json.dumps({"type": "vit_t", "b64img": image, "checkpoint_url": "a", **prompt}).encode()
    yield b"m\x05" + bytes([0b11111000, 0b10101110, 0b11010111, 0b01110101])


def _must_be_short(refusal: InvalidPrompt) -> None:
    assert len(refusal.extra.get("errors", [])) <= 10
    assert len(json.dumps([refusal.detail, refusal.extra])) < 64 * 1024


def _check_x_anylabeling(body: bytes) -> None:
    asked = parse_predict(body)
    query = x_anylabeling_query(asked.params.marks)
    if query is not None:
        _check_query(query)
        given = {number for mark in asked.params.marks for number in mark.data}
        for prompt in query.prompts:
            assert {number for point in prompt.points for number in point} <= given
            assert set(prompt.box or ()) <= given
    unpacked(base64_of(asked.image))


def _check_samapi(body: bytes) -> None:
    asked = parse_sam(body)
    assert len(asked.point_coords or []) <= MAX_SENT_POINTS
    query = samapi_query(asked)
    _check_query(query)
    (prompt,) = query.prompts
    assert (prompt.box is None) == (asked.bbox is None)
    assert {(int(x), int(y)) for x, y in prompt.points} <= set(asked.point_coords or [])
    unpacked(asked.b64img)


def _check_query(query: MasksQuery) -> None:
    assert 1 <= len(query.prompts) <= MAX_PROMPTS
    assert sum(len(prompt.points) for prompt in query.prompts) <= MAX_REQUEST_POINTS
    for prompt in query.prompts:
        assert len(prompt.points) == len(prompt.labels) <= MAX_POINTS
        assert prompt.points or prompt.box
        assert np.isfinite([*np.ravel(prompt.points), *(prompt.box or ())]).all()


def _check_mask(data: bytes) -> None:
    """The first byte is the width, the bits of the others are the pixels."""
    width = max(1, data[0] % 64) if data else 1
    bits = np.unpackbits(np.frombuffer(data[1:513], np.uint8))
    mask = bits[: len(bits) // width * width].reshape(-1, width).astype(bool)
    if not mask.size:
        return
    changes = np.diff(np.pad(mask.T, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    x, top = np.nonzero(changes == 1)
    runs = ColumnRuns((mask.shape[0], width), x, top, np.nonzero(changes == -1)[1])
    found = geometry(runs)
    assert (found is None) == (not mask.any())
    polygons: list[Any] = [] if found is None else found["coordinates"]
    if found is not None and found["type"] == "Polygon":
        polygons = [polygons]
    areas = [[_area(np.array(ring, float)) for ring in polygon] for polygon in polygons]
    assert sum(outer - sum(holes) for outer, *holes in areas) == runs.area
    for form in ShapeForm:
        for shape in shapes(runs, 0.5, form, 0.001):
            assert np.isfinite(shape["points"]).all()
            assert len(shape["points"]) >= 4


def _area(ring: NDArray[np.float64]) -> float:
    x, y = ring.T
    return abs(float(x[:-1] @ y[1:] - x[1:] @ y[:-1])) / 2
