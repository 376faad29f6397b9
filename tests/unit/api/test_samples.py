"""The sample pictures: small, free, served with caching, and the same for the page and the command line."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image
from werkzeug.test import TestResponse

from deploy.local.process import ROOT
from samcache.cli.demo import SAMPLES
from tests.support.world import World

FOLDER = ROOT / "prompt_api/web/samples"


def get(world: World, path: str, **headers: str) -> TestResponse:
    """Ask for a file. The answer is read whole, and its file closed."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return world.client.get(path, headers=sent, buffered=True)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_small_named_in_the_notice_and_served_without_a_token(world: World, name: str) -> None:
    answer = get(world, f"/static/samples/{name}.jpg")
    assert (answer.status_code, answer.mimetype) == (200, "image/jpeg")
    assert answer.headers["Cache-Control"] == "public, max-age=86400"
    again = get(world, f"/static/samples/{name}.jpg", If_None_Match=answer.headers["ETag"])
    assert again.status_code == 304
    assert len(answer.data) < 150_000
    width, height = Image.open(io.BytesIO(answer.data)).size
    x, y = SAMPLES[name]
    assert 0 < x < width
    assert 0 < y < height
    assert f"prompt_api/web/samples/{name}.jpg" in (ROOT / "NOTICE").read_text()


def test_page_and_command_line_offer_the_same_samples(world: World) -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SAMPLES)
    assert re.findall(r'data-sample="(\w+)"', get(world, "/").text) == [*SAMPLES]
    written = re.findall(r"(\w+): \{ x: (\d+), y: (\d+) \}", get(world, "/static/samples.js").text)
    assert {name: (int(x), int(y)) for name, x, y in written} == SAMPLES


def test_what_is_no_sample_is_not_found_and_not_kept(world: World) -> None:
    answer = get(world, "/static/samples/none.jpg")
    assert answer.status_code == 404
    assert "max-age=86400" not in answer.headers.get("Cache-Control", "")
