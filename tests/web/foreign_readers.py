"""Reads the page's exports with the code of the tools they are for. `make exports-check` runs it in their environment.

`python foreign_readers.py FOLDER`, with a folder of `check_exports.py`. It imports nothing of this project.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Mask = NDArray[np.bool_]


def label_studio(folder: Path, masks: list[Mask]) -> None:
    """Check the tasks against the labelling configuration, and decode the brushes, with Label Studio's SDK."""
    from label_studio_sdk.converter.brush import decode_rle
    from label_studio_sdk.label_interface import LabelInterface

    with zipfile.ZipFile(folder / "label-studio" / "label-studio.zip") as archive:
        interface = LabelInterface(archive.read("config.xml").decode())
        tasks = json.loads(archive.read("tasks.json"))
    interface.validate()
    for task in tasks:
        assert interface.validate_task({"data": task["data"]})
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction, return_errors=True) == []
    for region, mask in zip(tasks[0]["predictions"][0]["result"], masks, strict=True):
        decoded = np.asarray(decode_rle(region["value"]["rle"])).reshape(*mask.shape, 4)
        assert np.array_equal(decoded[..., 3] > 0, mask)


def ultralytics(folder: Path, masks: list[Mask]) -> None:
    """Parse the label file as Ultralytics' dataset does, and the names with its own reader of `data.yaml`."""
    from ultralytics.data.utils import verify_image_label
    from ultralytics.utils import YAML

    with zipfile.ZipFile(folder / "yolo" / "yolo.zip") as archive:
        archive.extractall(folder / "yolo")
    names = YAML.load(folder / "yolo" / "data.yaml")["names"]
    assert names == {0: "dog", 1: "a/b: “x”", 2: "cat"}
    height, width = masks[0].shape
    image = folder / "yolo" / "photo.jpg"
    Image.new("RGB", (width, height)).save(image)
    label = folder / "yolo" / "labels" / "photo.txt"
    given = (str(image), str(label), "", False, len(names), 0, 0, False)
    _, labels, _, segments, _, missing, found, empty, corrupt, message = verify_image_label(given)
    assert (missing, found, empty, corrupt) == (0, 1, 0, 0), message
    assert labels[:, 0].tolist() == [0, 1, 1, 1]
    for segment, mask in zip(segments, masks, strict=True):
        large = Image.new("1", (width * 4, height * 4))
        ImageDraw.Draw(large).polygon([(x * width * 4, y * height * 4) for x, y in segment.tolist()], fill=1)
        painted = np.asarray(large)[2::4, 2::4]
        assert (painted & mask).sum() / (painted | mask).sum() > 0.97


def datumaro(folder: Path, masks: list[Mask]) -> None:
    """Import both COCO files and CVAT's file with datumaro, the library with which CVAT imports COCO."""
    from datumaro.components.annotation import AnnotationType
    from datumaro.components.dataset import Dataset

    for name in ("coco", "coco-polygons"):
        home = folder / f"{name}-dataset"
        (home / "annotations").mkdir(parents=True)
        (home / "images" / "default").mkdir(parents=True)
        content = json.loads((folder / name / "coco.json").read_text())
        # datumaro tells pictures apart by their names without extensions.
        content["images"][1]["file_name"] = "other.png"
        for picture in ("photo.jpg", "other.png"):
            Image.new("RGB", masks[0].shape[::-1]).save(home / "images" / "default" / picture)
        (home / "annotations" / "instances_default.json").write_text(json.dumps(content))
        dataset = Dataset.import_from(str(home), "coco_instances")
        labels = [label.name for label in dataset.categories()[AnnotationType.label]]
        assert labels[-3:] == ["dog", "a/b: “x”", "cat"]
        found = [one for item in dataset for one in item.annotations]
        if name == "coco":
            pixels = [np.asarray(one.image, dtype=bool) for one in found if one.type == AnnotationType.mask]
            assert all(any(np.array_equal(mask, one) for one in pixels) for mask in masks)
        else:
            assert sum(one.type == AnnotationType.polygon for one in found) == 7  # two masks have two parts each
    home = folder / "cvat-dataset"
    (home / "images").mkdir(parents=True)
    for picture in ("photo.jpg", "other.png"):
        Image.new("RGB", masks[0].shape[::-1]).save(home / "images" / picture)
    text = (folder / "cvat" / "annotations.xml").read_text()
    (home / "annotations.xml").write_text(text.replace('name="photo.png"', 'name="other.png"'))
    dataset = Dataset.import_from(str(home), "cvat")
    pixels = [np.asarray(one.image, dtype=bool) for item in dataset for one in item.annotations]
    assert all(any(np.array_equal(mask, one) for one in pixels) for mask in masks)


def pycocotools(folder: Path, masks: list[Mask]) -> None:
    """Load the dataset and compare every mask."""
    from pycocotools.coco import COCO

    dataset = COCO(str(folder / "coco" / "coco.json"))
    for annotation, mask in zip(dataset.loadAnns(dataset.getAnnIds(imgIds=[1])), masks, strict=True):
        assert np.array_equal(dataset.annToMask(annotation).astype(bool), mask)


READERS: dict[str, Callable[[Path, list[Mask]], None]] = {
    "pycocotools": pycocotools,
    "Label Studio": label_studio,
    "Ultralytics": ultralytics,
    "datumaro": datumaro,
}


def main(folder: Path) -> int:
    stored: Any = np.load(folder / "masks.npz")
    masks = [stored[name] for name in stored.files]
    for name, read in READERS.items():
        read(folder, masks)
        sys.stdout.write(f"{name}: read\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
