"""`SamCache.find_similar` and `samcache similar`, against a running service with the fake model.

The objects are squares of one colour: the fake model's mask of one shows whatever has its colour.
"""

from __future__ import annotations

import asyncio
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from pycocotools.coco import COCO

from samcache import AsyncSamCache, SamCache, Similar
from samcache.cli.arguments import TOKEN_VARIABLE
from samcache.cli.main import main
from samcache.errors import EmbeddingPending, ImageNotFound, InvalidPrompt
from samcache.service.flows import image_id_of
from samcache.service.similar import find_similar
from tests.client.test_flows import DATA, ID, NOT_FOUND, Service, image, problem
from tests.support.stack import ObservedStack
from tests.support.world import png

CLICK = {"points": [[40, 30]], "labels": [1]}
OTHER = b"another image"
OTHER_ID = image_id_of(OTHER)


@pytest.fixture(scope="module")
def stack() -> Iterator[ObservedStack]:
    with ObservedStack({"SAM_MODEL": "fake"}) as running:
        yield running


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Three pictures that no other test uses, each of another size, with a square of the same colour."""
    seed = zlib.crc32(request.node.name.encode()) % 60
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.PNG", "deep/c.png")):
        (tmp_path / "photos" / name).write_bytes(png(120 + number, 80, (190 + seed, 30, 30)))
    return tmp_path / "photos"


def samcache(stack: ObservedStack, *arguments: object) -> CompletedProcess[str]:
    """Run `samcache similar` in this process. The service is `stack`, unless the arguments name another one."""
    given = ["similar", "--url", stack.url, *map(str, arguments)]
    with redirect_stdout(io.StringIO()) as output, redirect_stderr(io.StringIO()) as complaints:
        status = main(given)
    return CompletedProcess(given, status, output.getvalue(), complaints.getvalue())


def is_the_square(bbox: list[int]) -> bool:
    """The square of `png` spans 30 to 60 and 20 to 40. The fake model sees blocks of several pixels."""
    x, y, width, height = bbox
    return 22 <= x <= 34 and 14 <= y <= 24 and 24 <= width <= 40 and 14 <= height <= 28


def test_both_clients_find_what_looks_like_an_example(stack: ObservedStack, folder: Path) -> None:
    data = (folder / "a.png").read_bytes()
    with SamCache(stack.url) as service:
        image_id = service.upload(data).image_id
        found = service.find_similar(image_id, [CLICK], data=data, min_score=0.5)
        assert (found.image_id, found.width, found.height, found.truncated) == (image_id, 120, 80, False)
        assert "decode" in found.timing
        (mask,) = found.masks
        assert is_the_square(list(mask.bbox))
        assert mask.payload["size"] == [80, 120]
        by_token = service.find_similar(image_id, [{"mask_token": mask.token}], form="polygons")
        assert by_token.masks[0].payload[0]["outer"]
        excluded = service.find_similar(image_id, [CLICK], exclude=[{"rle": mask.payload}])
        assert excluded.masks == []
        with pytest.raises(InvalidPrompt, match="examples/0"):
            service.find_similar(image_id, [{**CLICK, "box": [9, 9, 1, 1]}])

    async def ask() -> Similar:
        async with AsyncSamCache(stack.url) as service:
            return await service.find_similar(image_id, [CLICK], data=data, min_score=0.5)

    again = asyncio.run(ask())
    assert [mask.bbox for mask in again.masks] == [mask.bbox for mask in found.masks]


def test_an_example_of_another_image_is_uploaded_again_if_it_is_gone(stack: ObservedStack, folder: Path) -> None:
    shown, searched = ((folder / name).read_bytes() for name in ("a.png", "b.PNG"))
    examples = [{**CLICK, "image_id": image_id_of(shown)}]
    with SamCache(stack.url) as service:
        image_id = service.upload(searched).image_id
        service.wait(image_id)
        with pytest.raises(ImageNotFound):
            service.find_similar(image_id, examples)
        found = service.find_similar(image_id, examples, others={image_id_of(shown): shown})
        assert [is_the_square(list(mask.bbox)) for mask in found.masks] == [True]


def test_a_picture_is_searched_for_what_a_point_shows(stack: ObservedStack, folder: Path) -> None:
    out = folder.parent / "out.json"
    answer = samcache(stack, folder / "a.png", "--point", "40,30", "--negative", "100,70", "--coco", out, "--json")
    assert answer.returncode == 0, answer.stderr
    result = json.loads(answer.stdout)
    assert (result["images"], result["failed"], result["masks"], result["written"]) == (1, 0, 1, str(out))
    dataset = COCO(str(out))
    assert [one["file_name"] for one in dataset.imgs.values()] == ["a.png"]
    (annotation,) = dataset.anns.values()
    assert is_the_square(annotation["bbox"])
    assert annotation["area"] == dataset.annToMask(annotation).sum()
    assert 0 <= annotation["similarity"] <= 1
    assert set(annotation) >= {"predicted_iou", "point"}


def test_a_folder_is_searched_for_what_its_first_picture_shows(stack: ObservedStack, folder: Path) -> None:
    out = folder.parent / "out.json"
    asked = [folder, "-r", "--box", "24,16,64,44", "--coco", out, "--polygons"]
    answer = samcache(stack, *asked, "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["done_before"] == 0
    dataset = COCO(str(out))
    assert [one["file_name"] for one in dataset.imgs.values()] == ["a.png", "b.PNG", "deep/c.png"]
    assert sorted(one["image_id"] for one in dataset.anns.values()) == [1, 2, 3]
    assert all(is_the_square(one["bbox"]) and len(one["segmentation"][0]) >= 8 for one in dataset.anns.values())

    before = out.read_bytes()
    out.unlink()
    offline = samcache(stack, *asked, "--json", "--url", "http://127.0.0.1:9")
    assert offline.returncode == 0, offline.stderr  # nothing was asked
    assert json.loads(offline.stdout)["done_before"] == 3
    assert out.read_bytes() == before
    other = samcache(stack, *asked, "--json", "--min-similarity", "0.9")
    assert json.loads(other.stdout)["done_before"] == 0


def test_what_fails_is_named_and_the_rest_is_searched(stack: ObservedStack, folder: Path) -> None:
    (folder / "text.png").write_text("no image")
    out = folder.parent / "out.json"
    example = ["--example", folder / "b.PNG", "--point", "40,30"]
    answer = samcache(stack, folder, *example, "--coco", out, "--json")
    assert answer.returncode == 1
    assert "text.png" in answer.stderr
    result = json.loads(answer.stdout)
    assert (result["images"], result["failed"], result["masks"]) == (3, 1, 2)
    assert len(json.loads(out.read_text())["images"]) == 2


def test_a_truncated_search_is_told(stack: ObservedStack, folder: Path) -> None:
    limited = ["--point", "40,30", "--point", "100,70", "--limit", "1", "--min-similarity", "0", "--min-score", "0"]
    answer = samcache(stack, folder / "a.png", *limited, "--coco", folder.parent / "out.json")
    assert answer.returncode == 0, answer.stderr
    assert "there may be more than these 1" in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--coco", "out.json"], "at least one --point or --box"),
        (["--negative", "1,1", "--coco", "out.json"], "at least one --point or --box"),
        (["--point", "1,1"], "--coco"),
        (["--point", "1", "--coco", "out.json"], "is not a point"),
        (["--point", "1,1", "--coco", "out.json", "--min-score", "2"], "is not a number from 0 to 1"),
    ],
)
def test_wrong_usage_is_told(capsys: pytest.CaptureFixture[str], folder: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["similar", str(folder), *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_picture_or_an_example_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    with pytest.raises(SystemExit):
        main(["similar", str(folder / "gone.png"), "--point", "1,1", "--coco", "out.json"])
    assert "gone.png does not exist" in capsys.readouterr().err
    asked = ["--example", str(folder / "gone.png"), "--point", "1,1", "--coco", str(folder / "out.json")]
    assert main(["similar", str(folder), *asked]) == 1
    assert "gone.png cannot be read" in capsys.readouterr().err
    empty = folder / "empty"
    empty.mkdir()
    assert main(["similar", str(empty), "--point", "1,1", "--coco", str(folder / "out.json")]) == 1
    assert "has no pictures" in capsys.readouterr().err


FOUND = {"image_id": ID, "model": "m", "width": 4, "height": 3, "masks": [], "truncated": False}


def searched(service: Service, **more: object) -> Similar:
    examples = [CLICK, {**CLICK, "image_id": OTHER_ID}]
    flow = find_similar(ID, examples, None, service.deadline(), form="rle", options={"limit": 3}, **more)  # type: ignore[arg-type]
    answer: Similar = service.run(flow)
    return answer


def test_all_images_of_a_pending_search_are_waited_for() -> None:
    service = Service(problem(409, "embedding-pending"), image("ready"), image("ready"), image("ok", **FOUND))
    assert searched(service).masks == []
    assert [name.replace(OTHER_ID, "{other}") for name in service.asked] == [
        "POST /v1/images/{id}/similar",
        "GET /v1/images/{id}",
        "GET /v1/images/{other}",
        "POST /v1/images/{id}/similar",
    ]
    body = json.loads(service.calls[0].body or b"")
    assert (body["limit"], body["format"], len(body["examples"])) == (3, "rle", 2)


def test_the_missing_image_of_an_example_is_sent_again() -> None:
    script = (NOT_FOUND, image("ready"), NOT_FOUND, image("ready"), image("ok", **FOUND))
    service = Service(*script)
    assert searched(service, others={OTHER_ID: OTHER}).masks == []
    assert [call.body for call in service.calls if call.path == "/v1/images"] == [OTHER]


def test_without_any_file_a_missing_image_is_an_error() -> None:
    with pytest.raises(ImageNotFound):
        searched(Service(NOT_FOUND))
    with pytest.raises(ImageNotFound):
        searched(Service(NOT_FOUND, image("ready"), NOT_FOUND), data=DATA)


def test_a_search_that_stays_pending_gives_up() -> None:
    pending = problem(409, "embedding-pending")
    looks = (image("ready"), image("ready"))
    with pytest.raises(EmbeddingPending):
        searched(Service(pending, *looks, pending, *looks, pending))
