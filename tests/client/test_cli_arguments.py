"""The arguments that `samcache` accepts, and those that it refuses before it sends a request."""

from __future__ import annotations

from pathlib import Path

import pytest

from samcache.cli.arguments import parse


def test_a_prompt_is_points_and_a_box() -> None:
    options = parse(["segment", "a.jpg", "--point", "5,6.5", "--point", "7,8", "--point-bg", "1,2", "--box", "0,0,9,9"])
    assert options.point == [[5, 6.5], [7, 8]]
    assert options.point_bg == [[1, 2]]
    assert options.box == [0, 0, 9, 9]
    assert options.multimask


def test_the_address_comes_from_the_option_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMCACHE_URL", raising=False)
    assert parse(["models"]).url == "http://127.0.0.1:8000"
    monkeypatch.setenv("SAMCACHE_URL", "https://sam.example/base")
    assert parse(["models"]).url == "https://sam.example/base"
    assert parse(["models", "--url", "http://localhost:9"]).url == "http://localhost:9"


def test_a_region_is_four_whole_pixels_or_auto() -> None:
    line = ["segment", "a.jpg", "--point", "5,6", "--region"]
    assert parse([*line, "auto"]).region == "auto"
    assert parse([*line, "10,20,300,400"]).region == (10, 20, 300, 400)
    assert parse(line[:-1]).region is None


def test_a_mask_alone_is_a_prompt() -> None:
    options = parse(["segment", "a.jpg", "--mask", "m.png", "--fill-holes", "50", "--keep", "largest"])
    assert (options.mask, options.fill_holes, options.remove_specks) == (Path("m.png"), 50, 0)
    assert (options.keep, options.tolerance) == ("largest", 0)


def test_tiles_are_for_things_of_some_size() -> None:
    assert parse(["warm", "."]).tiles is None
    assert parse(["warm", ".", "--tiles"]).tiles == 256
    assert parse(["warm", ".", "--tiles", "90"]).tiles == 90


@pytest.mark.parametrize(
    "line",
    [
        "",
        "segment",
        "segment a.jpg",
        "segment a.jpg --point-bg 5,5",
        "segment a.jpg --point 5",
        "segment a.jpg --point a,b",
        "segment a.jpg --point nan,1",
        "segment a.jpg --box 1,2,3",
        "segment a.jpg --box 5,5,1,1",
        "segment a.jpg --point 1,1 --index 3",
        "segment a.jpg --point 1,1 --index 1 --single",
        "segment a.jpg --point 1,1 --index 1 --best",
        "segment a.jpg --point 1,1 --overlay",
        "segment a.jpg --point 1,1 -o mask.jpg",
        "segment a.jpg --point 1,1 -o mask.xyz --overlay",
        "segment a.jpg --point 1,1 --region 1,2,3",
        "segment a.jpg --point 1,1 --fill-holes -1",
        "segment a.jpg --point 1,1 --remove-specks 1.5",
        "segment a.jpg --point 1,1 --keep smallest",
        "segment a.jpg --point 1,1 --tolerance 2",
        "segment a.jpg --point 1,1 --polygon p.json --tolerance -1",
        "segment a.jpg --point 1,1 --polygon p.json --tolerance nan",
        "segment a.jpg --point 1,1 --coco-polygons",
        "segment a.jpg --point 1,1 --region 1,2,30,40.5",
        "segment a.jpg --point 1,1 --region whole",
        "warm . --tiles 15",
        "warm . --tiles 1e3",
        "upload",
        "warm",
        "warm /no/such/folder",
        "warm . --jobs 0",
        "warm . --jobs 17",
        "models --url localhost:8000",
        "models --url http://",
        "models --url http://x:port",
        "models --url http://a..b",
        "models --url http://xn--a",
        "models --timeout 0",
        "models --timeout soon",
        "sing",
    ],
)
def test_nonsense_is_refused_with_status_2(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(line.split())
    assert stopped.value.code == 2
    assert "samcache" in capsys.readouterr().err


def test_a_nonsense_address_in_the_environment_is_refused_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAMCACHE_URL", "nonsense")
    with pytest.raises(SystemExit):
        parse(["models"])
    assert "not an address" in capsys.readouterr().err


def test_an_overlay_may_be_a_jpeg() -> None:
    assert parse(["segment", "a.jpg", "--point", "1,1", "-o", "x.JPG", "--overlay"]).output == Path("x.JPG")
