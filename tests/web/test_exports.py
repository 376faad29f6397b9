"""Tests of the page's exports with the tools that read them: pycocotools, Pillow, zipfile and a polygon painter."""

from __future__ import annotations

import io
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

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
    """A folder with coco.json, masks.zip and yolo.zip of two pictures of the same name and one without objects."""
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
    dataset = COCO(str(exported / "coco.json"))
    assert [image["file_name"] for image in dataset.loadImgs(dataset.getImgIds())] == ["photo.jpg", "photo.png"]
    assert [category["name"] for category in dataset.loadCats(dataset.getCatIds())] == ["dog", "a/b: “x”", "cat"]
    annotations = dataset.loadAnns(dataset.getAnnIds(imgIds=[1]))
    for annotation, mask in zip(annotations, _masks().values(), strict=True):
        assert np.array_equal(dataset.annToMask(annotation).astype(bool), mask)
        assert annotation["area"] == mask.sum()
    assert len(dataset.getAnnIds(catIds=dataset.getCatIds(["cat"]))) == 1


def test_masks_are_one_bit_png_files_in_a_folder_per_picture(exported: Path) -> None:
    with zipfile.ZipFile(exported / "masks.zip") as archive:
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
    with zipfile.ZipFile(exported / "yolo.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["data.yaml", "labels/photo.txt", "labels/photo-2.txt"]
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


def _filled(polygon: NDArray[np.float64]) -> Mask:
    """Paint the polygon four times as large and sample the centres, because Pillow's edges are a pixel too wide."""
    large = Image.new("1", (WIDTH * 4, HEIGHT * 4))
    ImageDraw.Draw(large).polygon([(x * 4, y * 4) for x, y in polygon.tolist()], fill=1)
    return np.asarray(large)[2::4, 2::4]
