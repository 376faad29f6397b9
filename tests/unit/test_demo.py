"""The demo's own words: the point it is given, the table it prints, the photo it ships with."""

from __future__ import annotations

import argparse

import pytest
from PIL import Image

from deploy.local.client import Answer, Client
from deploy.local.demo import Stage, parse_point, table, walk
from deploy.local.photo import PHOTO, POINT


class RecordingClient(Client):
    """A service that has encoded nothing yet, without a connection; writes down what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def upload(self, image: bytes) -> Answer:
        self.asked.append("upload")
        known = self.asked.count("upload") > 1
        body = {"image_id": "ab" * 32, "width": 600, "height": 400}
        return Answer(200 if known else 202, body, 0.004, "")

    def wait_until_ready(self, image_id: str, seconds: float = 300.0) -> Answer:
        self.asked.append("wait")
        return Answer(200, {"status": "ready"}, 0.8, "")

    def prompt(self, image_id: str, point: tuple[float, float]) -> Answer:
        self.asked.append(f"prompt {point}")
        return Answer(200, {"results": []}, 0.05, "fetch;dur=1.2, decode;dur=33.0")


@pytest.mark.parametrize(("text", "point"), [("500,375", (500.0, 375.0)), (" 0.5 , 12 ", (0.5, 12.0))])
def test_a_point_is_two_numbers(text: str, point: tuple[float, float]) -> None:
    assert parse_point(text) == point


@pytest.mark.parametrize("text", ["", "5", "1,2,3", "a,b", "nan,1", "1,inf", "1 2"])
def test_anything_else_is_not_a_point(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="not a point"):
        parse_point(text)


def test_the_walk_goes_the_whole_way_twice_and_shows_the_cache_hit() -> None:
    client, stages = RecordingClient(), list[Stage]()
    walk(client, b"photo", (1, 2), stages)
    assert client.asked == ["upload", "wait", "prompt (1, 2)", "upload", "prompt (1, 2)"]
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
