"""Tests of the page's exports with the tools that read them: pycocotools, Pillow, zipfile and a polygon painter.

`make exports-check` reads the same files with Label Studio's, Ultralytics' and datumaro's own code, which is too
heavy here.
"""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from prompt_api.integrations.label_studio.brush import encode_brush
from tests.support.masks_material import runs_of
from tests.support.rle_pack import decode_brush

HERE = Path(__file__).parent
HEIGHT, WIDTH = 300, 400

Mask = NDArray[np.bool_]


def _masks() -> dict[str, Mask]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    disc = (x - 120) ** 2 + (y - 110) ** 2 < 80**2
    hole = (x - 130) ** 2 + (y - 100) ** 2 < 30**2
    return {
        "ring": disc & ~hole,
        "two parts": disc | ((x - 320) ** 2 + (y - 220) ** 2 < 50**2),
        "to the edges": (x < 90) & (y > 200) | (x > 350),
        "everything": np.ones((HEIGHT, WIDTH), bool),
    }


def _kept(mask: Mask, label: str, number: int) -> dict[str, Any]:
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    answered = {
        "score": 0.9,
        "area": int(mask.sum()),
        "bbox": [int(side) for side in coco_mask.toBbox(rle)],
        "rle": {"size": rle["size"], "counts": rle["counts"].decode()},
    }
    return {"id": number, "label": label, "colour": "#ff8c1a", "step": {"masks": [answered], "chosen": 0}}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder per format, with the file of two pictures of the same name and one without objects."""
    folder = tmp_path_factory.mktemp("exports")
    objects = [_kept(mask, "a/b: “x”" if index else "dog", index) for index, mask in enumerate(_masks().values())]
    size = {"width": WIDTH, "height": HEIGHT}
    pictures = [
        {"name": "photo.jpg", **size, "objects": objects},
        {"name": "empty.jpg", **size, "objects": []},
        {"name": "photo.png", **size, "objects": [_kept(next(iter(_masks().values())), "cat", 9)]},
    ]
    command = ["node", str(HERE / "write_exports.mjs"), str(folder)]
    subprocess.run(command, input=json.dumps(pictures), text=True, check=True, timeout=600)
    return folder


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under numpy 2
def test_coco_loads_in_pycocotools_with_the_very_masks(exported: Path) -> None:
    dataset = COCO(str(exported / "coco" / "coco.json"))
    assert [image["file_name"] for image in dataset.loadImgs(dataset.getImgIds())] == ["photo.jpg", "photo.png"]
    assert [category["name"] for category in dataset.loadCats(dataset.getCatIds())] == ["dog", "a/b: “x”", "cat"]
    annotations = dataset.loadAnns(dataset.getAnnIds(imgIds=[1]))
    for annotation, mask in zip(annotations, _masks().values(), strict=True):
        assert np.array_equal(dataset.annToMask(annotation).astype(bool), mask)
        assert annotation["area"] == mask.sum()
    assert len(dataset.getAnnIds(catIds=dataset.getCatIds(["cat"]))) == 1


def test_masks_are_one_bit_png_files_in_a_folder_per_picture(exported: Path) -> None:
    with zipfile.ZipFile(exported / "png" / "masks.zip") as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert names[:2] == ["photo/01-dog.png", "photo/02-a_b_ “x”.png"]
        assert names[-1] == "photo-2/01-cat.png"
        for name, mask in zip(names, _masks().values(), strict=False):
            with Image.open(io.BytesIO(archive.read(name))) as image:
                image.load()
                assert image.mode == "1"
                assert np.array_equal(np.asarray(image), mask)


def test_yolo_polygons_cover_the_masks(exported: Path) -> None:
    with zipfile.ZipFile(exported / "yolo" / "yolo.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["labels/photo.txt", "labels/photo-2.txt", "data.yaml"]
        assert '  0: "dog"\n  1: "a/b: “x”"\n' in archive.read("data.yaml").decode()
        lines = archive.read("labels/photo.txt").decode().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "1", "1"]
    for line, mask in zip(lines, _masks().values(), strict=True):
        shares = np.array([float(number) for number in line.split()[1:]])
        assert shares.min() >= 0
        assert shares.max() <= 1
        painted = _filled(shares.reshape(-1, 2) * (WIDTH, HEIGHT))
        iou = (painted & mask).sum() / (painted | mask).sum()
        assert iou > 0.98


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools under numpy 2
def test_coco_polygons_load_in_pycocotools_as_nearly_the_masks(exported: Path) -> None:
    dataset = COCO(str(exported / "coco-polygons" / "coco.json"))
    for annotation, mask in zip(dataset.loadAnns(dataset.getAnnIds(imgIds=[1])), _masks().values(), strict=True):
        assert isinstance(annotation["segmentation"], list)
        painted = dataset.annToMask(annotation).astype(bool)
        assert (painted & mask).sum() / (painted | mask).sum() > 0.97


def test_label_studio_tasks_hold_the_very_masks(exported: Path) -> None:
    with zipfile.ZipFile(exported / "label-studio" / "label-studio.zip") as archive:
        assert archive.testzip() is None
        tasks = json.loads(archive.read("tasks.json"))
        config = ElementTree.fromstring(archive.read("config.xml"))
    assert [task["data"] for task in tasks] == [{"image": "photo.jpg"}, {"image": "photo.png"}]
    (brush,) = config.iter("BrushLabels")
    (image,) = config.iter("Image")
    labels = [label.get("value") for label in brush]
    assert labels == ["dog", "a/b: “x”", "cat"]
    assert image.get("value") == "$image"
    (prediction,) = tasks[0]["predictions"]
    for region, mask in zip(prediction["result"], _masks().values(), strict=True):
        assert (region["type"], region["from_name"], region["to_name"]) == (
            "brushlabels",
            brush.get("name"),
            image.get("name"),
        )
        assert (region["original_width"], region["original_height"], region["image_rotation"]) == (WIDTH, HEIGHT, 0)
        assert set(region["value"]["brushlabels"]) <= set(labels)
        assert np.array_equal(decode_brush(region["value"]["rle"], (HEIGHT, WIDTH)), mask)


def test_the_brush_of_label_studio_is_packed_as_the_adapter_packs_it(exported: Path) -> None:
    with zipfile.ZipFile(exported / "label-studio" / "label-studio.zip") as archive:
        tasks = json.loads(archive.read("tasks.json"))
    for region, mask in zip(tasks[0]["predictions"][0]["result"], _masks().values(), strict=True):
        assert region["value"]["rle"] == encode_brush(runs_of(mask))


def test_cvats_masks_are_the_very_masks(exported: Path) -> None:
    """Reads them as CVAT's `load_anno` does: `rle` along the rows of the box, then the box's corners."""
    root = ElementTree.parse(exported / "cvat" / "annotations.xml").getroot()
    assert root.findtext("version") == "1.1"
    assert [name.text for name in root.iterfind("meta/task/labels/label/name")] == ["dog", "a/b: “x”", "cat"]
    first, second = root.findall("image")
    assert [image.get("name") for image in (first, second)] == ["photo.jpg", "photo.png"]
    assert (first.get("width"), first.get("height")) == (str(WIDTH), str(HEIGHT))
    for element, mask in zip(first.findall("mask"), _masks().values(), strict=True):
        runs = [int(run) for run in element.attrib["rle"].split(",")]
        left, top, width, height = (int(element.attrib[side]) for side in ("left", "top", "width", "height"))
        inside = np.repeat(np.arange(len(runs)) % 2, runs).astype(bool).reshape(height, width)
        whole = np.zeros_like(mask)
        whole[top : top + height, left : left + width] = inside
        assert np.array_equal(whole, mask)


def _filled(polygon: NDArray[np.float64]) -> Mask:
    """Paint the polygon four times as large and sample the centres, because Pillow's edges are a pixel too wide."""
    large = Image.new("1", (WIDTH * 4, HEIGHT * 4))
    ImageDraw.Draw(large).polygon([(x * 4, y * 4) for x, y in polygon.tolist()], fill=1)
    return np.asarray(large)[2::4, 2::4]
