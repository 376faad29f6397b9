"""The settings that clean and simplify masks for other tools."""

from __future__ import annotations

import base64
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.label_studio import BRUSH, POINT, request, task_of
from tests.support.rle_pack import decode_brush
from tests.support.world import World

SIDE = 512
CLEANED = {"tool_fill_holes": 5000, "tool_keep": "clicked"}


def picture() -> bytes:
    """A square with a hole, and a triangle of the same colour."""
    pixels = np.full((SIDE, SIDE, 3), (20, 90, 160), np.uint8)
    pixels[64:256, 64:256] = (200, 30, 30)
    pixels[320:400, 320:400][np.tri(80, dtype=bool)] = (200, 30, 30)
    pixels[128:144, 128:160] = (20, 90, 160)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


PICTURE = picture()
IN_BASE64 = base64.b64encode(PICTURE).decode()


def ready(make_world: Callable[..., World], **settings: Any) -> World:
    world = make_world(**settings)
    world.ready_image(PICTURE)
    return world


def for_label_studio(world: World, x: int, y: int, config: str = BRUSH) -> list[dict[str, Any]]:
    value = {**POINT["value"], "x": x / SIDE * 100, "y": y / SIDE * 100}
    point = {**POINT, "original_width": SIDE, "original_height": SIDE, "value": value}
    body = request(point, task=task_of(PICTURE), config=config)
    answer = world.client.post("/label-studio/predict", json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json["results"][0]["result"]
    return found


def for_qupath(world: World, x: int, y: int) -> dict[str, Any]:
    body = {
        "checkpoint_url": "sam-embedding-cache:fake",
        "b64img": IN_BASE64,
        "point_coords": [[x, y]],
        "point_labels": [1],
    }
    answer = world.client.post("/samapi/sam/", json=body, buffered=True)
    assert answer.status_code == 200, answer.text
    geometry: dict[str, Any] = answer.json[0]["geometry"]
    return geometry


def for_x_anylabeling(world: World, x: int, y: int) -> list[dict[str, Any]]:
    marks = [{"type": "point", "data": [x, y], "label": 1}]
    body = {"model": "fake", "image": IN_BASE64, "params": {"marks": marks}}
    answer = world.client.post("/x-anylabeling/v1/predict", json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json["data"]["shapes"]
    return found


def test_without_settings_masks_are_what_the_model_gives(make_world: Callable[..., World]) -> None:
    world = ready(make_world)
    assert for_qupath(world, 80, 80)["type"] == "MultiPolygon"
    assert len(for_x_anylabeling(world, 330, 390)) == 1  # the triangle is small beside the square
    assert len(for_label_studio(world, 80, 80, BRUSH.replace("BrushLabels", "PolygonLabels"))) == 2


def test_the_clicked_part_is_kept_for_every_tool(make_world: Callable[..., World]) -> None:
    world = ready(make_world, **CLEANED)
    geometry = for_qupath(world, 80, 80)
    assert geometry["type"] == "Polygon"
    assert len(geometry["coordinates"]) == 1  # the hole is filled
    (triangle,) = for_x_anylabeling(world, 330, 390)
    assert np.min(triangle["points"]) > 300
    (region,) = for_label_studio(world, 330, 390)
    mask = decode_brush(region["value"]["rle"], (SIDE, SIDE))
    assert mask.any()
    assert not mask[:300].any()


@pytest.mark.parametrize("tolerance", [0.0, 8.0])
def test_outlines_have_fewer_points_within_a_tolerance(make_world: Callable[..., World], tolerance: float) -> None:
    world = ready(make_world, tool_keep="clicked", tool_tolerance=tolerance)
    (ring,) = for_qupath(world, 330, 390)["coordinates"]
    assert (len(ring) < 8) == (tolerance > 0)
    config = BRUSH.replace("BrushLabels", "PolygonLabels")
    (region,) = for_label_studio(world, 330, 390, config)
    if tolerance:
        assert len(region["value"]["points"]) == len(ring) - 1
