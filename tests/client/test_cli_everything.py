"""`samcache everything` and `samcache segment-boxes`, against a running service with the fake model.

One test runs the command as a process. The others call `samcache.cli.main`, because a process takes a second to start.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from pycocotools.coco import COCO

from samcache import RemoteAutomaticMaskGenerator, SamCache
from samcache.cli.arguments import TOKEN_VARIABLE
from samcache.cli.main import main
from samcache.errors import InvalidParameter
from tests.client.test_cli import samcache as as_a_process
from tests.support.stack import ObservedStack
from tests.support.world import png

FEW = ["--points-per-side", "4", "--pred-iou-thresh", "0.5", "--stability-score-thresh", "0"]
OPTIONS: dict[str, Any] = {"points_per_side": 4, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.0}


@pytest.fixture(scope="module")
def stack() -> Iterator[ObservedStack]:
    with ObservedStack({"SAM_MODEL": "fake"}, mask_workers=True) as running:
        yield running


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


def samcache(stack: ObservedStack, command: str, *arguments: object) -> CompletedProcess[str]:
    """Run the command in this process. The service is `stack`, unless the arguments name another one."""
    given = [command, "--url", stack.url, *map(str, arguments)]
    with redirect_stdout(io.StringIO()) as output, redirect_stderr(io.StringIO()) as complaints:
        status = main(given)
    return CompletedProcess(given, status, output.getvalue(), complaints.getvalue())


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Three images that no other test uses, each of another size. One is in a subfolder."""
    seed = zlib.crc32(request.node.name.encode()) % 200
    photos = tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.PNG", "deep/c.png")):
        (photos / name).write_bytes(png(120 + number, 80, (seed, 30 + number, 30)))
    return photos


def test_every_mask_of_a_folder_is_a_coco_dataset_for_each_folder(stack: ObservedStack, folder: Path) -> None:
    into = folder.parent / "coco"
    answer = as_a_process(stack, "everything", folder, "-r", "-o", into, "--overlay", *FEW, "--json")
    assert answer.returncode == 0, answer.stderr
    result = json.loads(answer.stdout)
    assert (result["images"], result["searched"], result["failed"], result["left"]) == (3, 3, 0, 0)
    assert result["written"] == [str(into / "coco.json"), str(into / "deep" / "coco.json")]
    dataset = COCO(str(into / "coco.json"))
    assert [image["file_name"] for image in dataset.imgs.values()] == ["a.png", "b.PNG"]
    assert dataset.anns
    for annotation in dataset.anns.values():
        shown = dataset.annToMask(annotation)
        assert annotation["area"] == shown.sum()
        assert shown.shape == (80, dataset.imgs[annotation["image_id"]]["width"])
    assert result["masks"] == len(dataset.anns) + len(COCO(str(into / "deep" / "coco.json")).anns)
    with Image.open(into / "a.png.overlay.png") as painted, Image.open(folder / "a.png") as photo:
        assert painted.size == photo.size
        assert np.any(np.asarray(painted) != np.asarray(photo))


def test_a_second_run_asks_for_nothing_that_is_there(stack: ObservedStack, folder: Path) -> None:
    into = folder.parent / "coco"
    first = samcache(stack, "everything", folder, "-o", into, *FEW)
    assert first.returncode == 0, first.stderr
    before = (into / "coco.json").read_bytes()
    (into / "coco.json").unlink()
    (folder / "new.png").write_bytes(png(50, 40))
    again = json.loads(samcache(stack, "everything", folder, "-o", into, *FEW, "--json").stdout)
    assert (again["found_before"], again["searched"]) == (2, 1)
    (folder / "new.png").unlink()
    offline = samcache(stack, "everything", folder, "-o", into, *FEW, "--json", "--url", "http://127.0.0.1:9")
    assert offline.returncode == 0, offline.stderr  # nothing was asked
    assert (into / "coco.json").read_bytes() == before
    other = json.loads(samcache(stack, "everything", folder, "-o", into, *FEW, "--mode", "fast", "--json").stdout)
    assert (other["found_before"], other["searched"]) == (0, 2)


def test_what_fails_is_named_and_the_rest_is_done(stack: ObservedStack, folder: Path) -> None:
    (folder / "text.png").write_text("no image")
    answer = samcache(stack, "everything", folder, "-o", folder.parent / "coco", *FEW, "--json")
    assert answer.returncode == 1
    assert "text.png" in answer.stderr
    result = json.loads(answer.stdout)
    assert (result["failed"], result["searched"]) == (1, 2)
    wrong = samcache(stack, "everything", folder, "-o", folder.parent / "other", "--points-per-side", "0")
    assert wrong.returncode == 1
    assert "points_per_side=0" in wrong.stderr


def coco_boxes(folder: Path) -> dict[str, Any]:
    return {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 120, "height": 80},
            {"id": 9, "file_name": "deep/c.png", "width": 122, "height": 80},
        ],
        "categories": [{"id": 3, "name": "square"}],
        "annotations": [
            {"id": 20, "image_id": 7, "category_id": 3, "bbox": [25, 15, 40, 30], "score": 0.8},
            {"id": 21, "image_id": 9, "category_id": 3, "bbox": [25, 15, 40, 30]},
            {"id": 22, "image_id": 9, "category_id": 3, "bbox": [500, 15, 40, 30]},
        ],
    }


@pytest.mark.parametrize("form", ["--rle", "--polygons"])
def test_a_coco_files_boxes_become_masks(stack: ObservedStack, folder: Path, form: str) -> None:
    boxes, out = folder.parent / "boxes.json", folder.parent / "out.json"
    boxes.write_text(json.dumps(coco_boxes(folder)))
    answer = samcache(stack, "segment-boxes", folder, boxes, "--coco", out, form, "--json")
    assert answer.returncode == 0, answer.stderr
    assert "[500.0, 15.0, 40.0, 30.0] lies outside" in answer.stderr
    result = json.loads(answer.stdout)
    assert (result["images"], result["boxes"], result["masks"], result["outside"]) == (2, 3, 2, 1)
    dataset = COCO(str(out))
    assert [image["file_name"] for image in dataset.imgs.values()] == ["a.png", "deep/c.png"]
    assert set(dataset.imgs) == {7, 9}
    assert dataset.cats[3]["name"] == "square"
    assert set(dataset.anns) == {20, 21}
    assert dataset.anns[20]["score"] == 0.8
    assert dataset.anns[20]["box"] == [25, 15, 40, 30]
    data = (folder / "a.png").read_bytes()
    with SamCache(stack.url) as service:
        image = service.upload(data)
        (mask,) = service.masks(image.image_id, [{"box": [25, 15, 65, 45]}], multimask=False).results[0]
    assert dataset.anns[20]["area"] == mask.area
    expected = coco.decode({**mask.payload, "counts": mask.payload["counts"].encode()})
    shown = dataset.annToMask(dataset.anns[20])
    # pycocotools fills polygons a little differently at their edges.
    assert (shown != expected).mean() < (0.02 if form == "--polygons" else 1e-9)
    again = json.loads(samcache(stack, "segment-boxes", folder, boxes, "--coco", out, form, "--json").stdout)
    assert again["done_before"] == 2


def test_yolos_labels_become_masks(stack: ObservedStack, folder: Path) -> None:
    labels, out = folder.parent / "labels", folder.parent / "out.json"
    (labels / "deep").mkdir(parents=True)
    (labels / "classes.txt").write_text("cat\ndog\n")
    (labels / "a.txt").write_text("1 0.375 0.375 0.3 0.4\n\n0 0.7 0.7 0.2 0.2 0.93\n")
    (labels / "deep" / "c.txt").write_text("5 0.375 0.375 0.3 0.4\n")
    answer = samcache(stack, "segment-boxes", folder, labels, "--coco", out, "--json")
    assert answer.returncode == 0, answer.stderr
    dataset = COCO(str(out))
    assert {number: one["name"] for number, one in dataset.cats.items()} == {0: "cat", 1: "dog", 5: "class 5"}
    assert [one["file_name"] for one in dataset.imgs.values()] == ["a.png", "deep/c.png"]
    first = next(one for one in dataset.anns.values() if one["category_id"] == 1)
    assert first["box"] == pytest.approx([27, 14, 36, 32])
    assert len(dataset.anns) == 3


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{", "is no COCO file"),
        ('{"images": [], "annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": 1}]}', "is no COCO file"),
        (
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "bbox": [1, 2, 3]}]}',
            "is no COCO",
        ),
    ],
)
def test_a_file_that_has_no_boxes_is_refused(stack: ObservedStack, folder: Path, written: str, said: str) -> None:
    boxes = folder.parent / "boxes.json"
    boxes.write_text(written)
    answer = samcache(stack, "segment-boxes", folder, boxes, "--coco", folder.parent / "out.json")
    assert answer.returncode == 1
    assert said in answer.stderr
    assert not (folder.parent / "out.json").exists()


def test_boxes_of_another_size_and_missing_pictures_are_named(stack: ObservedStack, folder: Path) -> None:
    document = coco_boxes(folder)
    document["images"][0]["width"] = 999
    document["images"][1]["file_name"] = "gone.png"
    boxes, out = folder.parent / "boxes.json", folder.parent / "out.json"
    boxes.write_text(json.dumps(document))
    answer = samcache(stack, "segment-boxes", folder, boxes, "--coco", out)
    assert answer.returncode == 1
    assert "its boxes are for 999x80 pixels, and it has 120x80 upright" in answer.stderr
    assert "gone.png" in answer.stderr
    assert json.loads(out.read_text())["annotations"] == []


def test_a_wrong_label_line_is_named(stack: ObservedStack, folder: Path) -> None:
    labels = folder.parent / "labels"
    labels.mkdir()
    (labels / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n0 0.5 0.5 wide 0.2\n")
    answer = samcache(stack, "segment-boxes", folder, labels, "--coco", folder.parent / "out.json")
    assert answer.returncode == 1
    assert "a.txt, line 2" in answer.stderr


def test_the_remote_generator_has_the_records_of_the_original(stack: ObservedStack) -> None:
    pixels = np.zeros((80, 120, 3), np.uint8)
    pixels[20:40, 30:60] = (200, 30, 30)
    told: list[float] = []
    with RemoteAutomaticMaskGenerator(stack.url, **OPTIONS) as generator:
        records = generator.generate(pixels, lambda job: told.append(job.progress))
    assert records
    for record in records:
        assert list(record) == [
            "segmentation",
            "area",
            "bbox",
            "predicted_iou",
            "point_coords",
            "stability_score",
            "crop_box",
        ]
        shown = record["segmentation"]
        assert (shown.dtype, shown.shape) == (np.bool_, (80, 120))
        rows, columns = np.nonzero(shown)
        assert record["area"] == len(rows)
        left, top = int(columns.min()), int(rows.min())
        assert record["bbox"] == [left, top, int(columns.max()) - left, int(rows.max()) - top]
    forms: dict[str, list[dict[str, Any]]] = {}
    for mode in ("coco_rle", "uncompressed_rle"):
        with RemoteAutomaticMaskGenerator(stack.url, output_mode=mode, **OPTIONS) as generator:  # type: ignore[arg-type]
            forms[mode] = generator.generate(pixels)
    for plain, packed, counted in zip(records, forms["coco_rle"], forms["uncompressed_rle"], strict=True):
        rle = packed["segmentation"]
        decoded = coco.decode({**rle, "counts": rle["counts"].encode()})
        np.testing.assert_array_equal(plain["segmentation"], decoded.astype(bool))
        values = np.arange(len(counted["segmentation"]["counts"])) % 2 == 1
        runs = np.repeat(values, counted["segmentation"]["counts"]).reshape(120, 80).T
        np.testing.assert_array_equal(plain["segmentation"], runs)


def test_the_remote_generator_names_what_is_wrong(stack: ObservedStack) -> None:
    with (
        RemoteAutomaticMaskGenerator(stack.url, points_per_side=0) as generator,
        pytest.raises(InvalidParameter, match="points_per_side=0"),
    ):
        generator.generate(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(AssertionError, match="Unknown output_mode"):
        RemoteAutomaticMaskGenerator(stack.url, output_mode="png")  # type: ignore[arg-type]


def test_a_job_can_be_stopped_from_the_client(stack: ObservedStack, folder: Path) -> None:
    data = (folder / "a.png").read_bytes()
    with SamCache(stack.url) as service:
        image = service.upload(data)
        done = service.everything(image.image_id, data, **OPTIONS)
        assert done.status == "done"
        service.stop(done)
        assert service.everything(image.image_id, data, **OPTIONS).masks == done.masks
