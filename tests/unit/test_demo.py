"""The demo's parts: parsing the point, printing the table, and the photo it ships with."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from deploy.local.demo import Stage, parse_point, table, walk
from deploy.local.photo import PHOTO, POINT
from samcache import ImageInfo, Masks, SamCache
from samcache.service.flows import Prompt


class RecordingService(SamCache):
    """A service without a connection that has encoded nothing yet. It records its requests."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def upload(self, data: bytes) -> ImageInfo:
        self.asked.append("upload")
        return ImageInfo("ab" * 32, "fake", "queued", 600, 400, sent=self.asked.count("upload") == 1)

    def wait(self, image_id: str, data: bytes | None = None) -> ImageInfo:
        self.asked.append("wait")
        return ImageInfo(image_id, "fake", "ready", 600, 400)

    def masks(self, image_id: str, prompts: Sequence[Prompt], **_: Any) -> Masks:
        self.asked.append(f"prompt {prompts[0]['points']}")
        return Masks(image_id, "fake", 600, 400, [[]], "fetch;dur=1.2, decode;dur=33.0")


@pytest.mark.parametrize(("text", "point"), [("500,375", (500.0, 375.0)), (" 0.5 , 12 ", (0.5, 12.0))])
def test_a_point_is_two_numbers(text: str, point: tuple[float, float]) -> None:
    assert parse_point(text) == point


@pytest.mark.parametrize("text", ["", "5", "1,2,3", "a,b", "nan,1", "1,inf", "1 2"])
def test_anything_else_is_not_a_point(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="not a point"):
        parse_point(text)


def test_the_walk_goes_the_whole_way_twice_and_shows_the_cache_hit() -> None:
    service, stages = RecordingService(), list[Stage]()
    walk(service, b"photo", (1, 2), stages)
    assert service.asked == ["upload", "wait", "prompt [[1, 2]]", "upload", "prompt [[1, 2]]"]
    notes = {stage.name: stage.note for stage in stages}
    assert "cache miss" in notes["upload"]
    assert "cache hit" in notes["upload again"]
    assert notes["second prompt"] == "in the API: fetch 1.2, decode 33.0 ms"


def test_the_table_aligns_its_columns() -> None:
    lines = table([Stage("upload", 0.0042, "first"), Stage("second prompt", 12.5, "last")]).splitlines()
    assert lines == ["upload              4.2 ms   first", "second prompt   12500.0 ms   last"]


def test_the_shipped_photo_is_small_and_its_point_lies_on_it() -> None:
    assert PHOTO.stat().st_size < 200_000
    with Image.open(PHOTO) as photo:
        assert photo.format == "JPEG"
        assert 0 < POINT[0] < photo.width
        assert 0 < POINT[1] < photo.height
