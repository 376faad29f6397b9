"""`make label-studio-check`: a real Label Studio asks for pre-annotations, stores them, and its editor shows them."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco
from scipy.ndimage import binary_fill_holes
from skimage import data
from skimage.draw import polygon2mask
from skimage.measure import label

from prompt_api.integrations.label_studio import pre_annotations
from tests.label_studio.conftest import PHOTO, Backend
from tests.label_studio.editor import Editor
from tests.label_studio.end_to_end import BRUSH, POLYGONS, SEPARATE_LABELS, SPOON, keypoint, picture
from tests.label_studio.studio import Studio, jpeg
from tests.support.rle_pack import decode_brush

PHOTOS = {"cat": jpeg(data.chelsea()), "coffee": PHOTO, "rocket": jpeg(data.rocket())}
ROUNDS = 20
"""How often predictions may be asked for. Each request waits up to 25 seconds."""


def masks_of(backend: Backend, photo: bytes) -> list[dict[str, Any]]:
    """Return the masks of the everything job that pre-annotations ask for, the best first."""
    job = f"/v1/images/{hashlib.sha256(photo).hexdigest()}/everything"
    answer = backend.ask("POST", f"{job}?wait=30", json={"mode": "fast"}).json()
    for _ in range(ROUNDS):
        if answer["status"] == "done":
            break
        answer = backend.ask("GET", f"{job}/{answer['job']}?wait=30").json()
    assert answer["status"] == "done"
    found: list[dict[str, Any]] = answer["masks"][: pre_annotations.MAX_REGIONS]
    return found


def prediction_after_opening(studio: Studio, task: int) -> dict[str, Any]:
    """Open a task until Label Studio has stored its prediction, and return that."""
    for _ in range(ROUNDS):
        studio.open_task(task)
        if studio.stored_predictions(task):
            break
    (prediction,) = studio.stored_predictions(task)
    return prediction


def assert_the_brushes_are_the_apis_masks(backend: Backend, prediction: dict[str, Any], photo: bytes) -> None:
    masks = masks_of(backend, photo)
    assert len(prediction["result"]) == len(masks) > 3
    for region, mask in zip(prediction["result"], masks, strict=True):
        expected = np.asarray(coco.decode(mask["rle"]), dtype=bool)
        assert (region["original_height"], region["original_width"]) == expected.shape
        assert np.array_equal(decode_brush(region["value"]["rle"], expected.shape), expected)
        assert region["score"] == pytest.approx(min(mask["predicted_iou"], 1))


@contextmanager
def no_mask_worker(backend: Backend) -> Iterator[None]:
    """Let the mask worker do nothing inside the block."""
    worker = backend.stack.children["masks"]
    worker.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        worker.signal(signal.SIGCONT)


def test_a_task_that_is_opened_gets_every_mask_of_its_photo(
    studio: Studio, finding_all: Backend, editor: Editor
) -> None:
    project = studio.create_project("Every mask", BRUSH)
    task, _ = studio.upload_photo(project, PHOTO)
    connected = studio.connect(project, f"{finding_all.url}/label-studio", finding_all.token)
    prediction = prediction_after_opening(studio, task)
    assert_the_brushes_are_the_apis_masks(finding_all, prediction, PHOTO)
    assert prediction["model_version"].startswith("mobile_sam-")
    assert len(studio.interact(connected, task, [keypoint(*SPOON)])) == 1, "clicks are answered as without it"

    editor.look_at(project, task)
    picture(editor, "every-mask")
    assert f"/api/tasks/{task}" in [path.removesuffix("/") for path in editor.asked()]
    assert editor.shown_regions() == [("brushregion", ["Cup"])] * len(prediction["result"])
    editor.submit()
    ((*submitted,),) = studio.annotations(task)
    assert [one["value"]["rle"] for one in submitted] == [one["value"]["rle"] for one in prediction["result"]]
    studio.open_task(task)
    assert len(studio.stored_predictions(task)) == 1, "Label Studio does not ask again"


def test_a_search_that_takes_long_lets_the_task_open_and_comes_with_the_next_opening(
    studio: Studio, finding_all: Backend
) -> None:
    photo = jpeg(data.astronaut())
    project = studio.create_project("Slow", BRUSH)
    task, _ = studio.upload_photo(project, photo)
    studio.connect(project, f"{finding_all.url}/label-studio", finding_all.token)
    with no_mask_worker(finding_all):
        studio.open_task(task)
        assert studio.stored_predictions(task) == []
    prediction = prediction_after_opening(studio, task)
    assert_the_brushes_are_the_apis_masks(finding_all, prediction, photo)


def test_predictions_of_several_tasks_are_retrieved_at_once(studio: Studio, finding_all: Backend) -> None:
    project = studio.create_project("Retrieve", BRUSH)
    tasks = studio.upload_photos(project, PHOTOS)
    studio.connect(project, f"{finding_all.url}/label-studio", finding_all.token)
    for _ in range(ROUNDS):
        studio.retrieve_predictions(project, list(tasks.values()))
        if all(studio.stored_predictions(task) for task in tasks.values()):
            break
    for name, task in tasks.items():
        (prediction,) = studio.stored_predictions(task)
        assert_the_brushes_are_the_apis_masks(finding_all, prediction, PHOTOS[name])


def parts_of(masks: list[dict[str, Any]]) -> list[NDArray[np.bool_]]:
    """Return the parts of the masks without their holes."""
    parts: list[NDArray[np.bool_]] = []
    for mask in masks:
        numbered = label(coco.decode(mask["rle"]), connectivity=1)
        parts += [binary_fill_holes(numbered == number) for number in range(1, numbered.max() + 1)]
    return parts


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_polygons_are_the_outlines_of_the_masks(studio: Studio, finding_all: Backend, editor: Editor) -> None:
    project = studio.create_project("Every polygon", POLYGONS)
    task, _ = studio.upload_photo(project, PHOTO)
    studio.connect(project, f"{finding_all.url}/label-studio", finding_all.token)
    regions = prediction_after_opening(studio, task)["result"]
    parts = parts_of(masks_of(finding_all, PHOTO))
    assert len(regions) > 3
    for region in regions:
        height, width = region["original_height"], region["original_width"]
        corners = [[y / 100 * height - 0.5, x / 100 * width - 0.5] for x, y in region["value"]["points"]]
        drawn = polygon2mask((height, width), corners)
        assert max(iou(drawn, part) for part in parts) > 0.95
    editor.look_at(project, task)
    assert editor.shown_regions() == [("polygonregion", ["Cup"])] * len(regions)


def test_a_brush_beside_labels_gets_masks_without_a_label(studio: Studio, finding_all: Backend, editor: Editor) -> None:
    project = studio.create_project("Every mask, separate labels", SEPARATE_LABELS)
    task, _ = studio.upload_photo(project, PHOTO)
    studio.connect(project, f"{finding_all.url}/label-studio", finding_all.token)
    prediction = prediction_after_opening(studio, task)
    assert_the_brushes_are_the_apis_masks(finding_all, prediction, PHOTO)
    editor.look_at(project, task)
    assert editor.shown_regions() == [("brushregion", [])] * len(prediction["result"])
