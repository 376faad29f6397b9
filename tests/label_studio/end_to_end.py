"""`make label-studio-check`: a real Label Studio, its editor in a real browser, and this service as its ML backend.

These tests are not part of the suite, because Label Studio takes a gigabyte to install.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco
from skimage.draw import polygon2mask

from prompt_api.integrations.label_studio.credentials import credentials
from prompt_api.integrations.label_studio.instance import LabelStudioInstance
from tests.label_studio.bucket import Bucket
from tests.label_studio.conftest import PHOTO, Backend
from tests.label_studio.editor import Editor
from tests.label_studio.studio import Studio
from tests.support.rle_pack import decode_brush

IMAGE_ID = hashlib.sha256(PHOTO).hexdigest()
WIDTH, HEIGHT = 600, 400

LABELS = '<Label value="Cup" background="#2e86ab"/><Label value="Spoon" background="#3ddc84"/>'
SMART_TAGS = f"""
  <KeyPointLabels name="point" toName="image" smart="true" smartOnly="true">{LABELS}</KeyPointLabels>
  <RectangleLabels name="box" toName="image" smart="true" smartOnly="true">{LABELS}</RectangleLabels>
"""
BRUSH = f"""<View>
  <Image name="image" value="$image" zoom="true"/>
  <BrushLabels name="mask" toName="image" smart="false">{LABELS}</BrushLabels>{SMART_TAGS}</View>"""
POLYGONS = BRUSH.replace("BrushLabels", "PolygonLabels")
SEPARATE_LABELS = f"""<View>
  <Image name="image" value="$image" zoom="true"/>
  <Labels name="label" toName="image">{LABELS}</Labels>
  <Brush name="mask" toName="image" smart="false"/>
  <KeyPoint name="point" toName="image" smart="true" smartOnly="true"/></View>"""

SPOON = (0.62, 0.74)
PICTURES = os.environ.get("PICTURES")


def picture(editor: Editor, name: str) -> None:
    if PICTURES:
        editor.take_picture(Path(PICTURES) / f"label-studio-{name}.jpg")


def keypoint(x: float, y: float, *, positive: bool = True) -> dict[str, Any]:
    return {
        "id": f"{x}-{y}",
        "type": "keypointlabels",
        "from_name": "point",
        "to_name": "image",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {"x": 100 * x, "y": 100 * y, "width": 0.2, "keypointlabels": ["Spoon"]},
        "is_positive": positive,
    }


def mask_of(backend: Backend, prompt: dict[str, Any], *, multimask: bool) -> NDArray[np.bool_]:
    """Return the API's own mask: with `multimask`, the best of three."""
    answer = backend.ask(
        "POST", f"/v1/images/{IMAGE_ID}/masks", json={"prompts": [prompt], "multimask": multimask}
    ).json()
    best = max(answer["results"][0]["masks"], key=lambda mask: mask["score"])
    return np.asarray(coco.decode(best["rle"]), dtype=bool)


def prompt_of(drawn: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the points among the drawn regions as a prompt of the API."""
    points = [one for one in drawn if one["type"] == "keypointlabels"]
    return {
        "points": [[one["value"]["x"] / 100 * WIDTH, one["value"]["y"] / 100 * HEIGHT] for one in points],
        "labels": [int(one["is_positive"]) for one in points],
    }


def assert_a_click_is_the_apis_mask(studio: Studio, backend: Backend, editor: Editor, project: int, task: int) -> None:
    """Click on the spoon, accept and submit the suggestion, and compare what is stored with the API's mask."""
    editor.open(project, task)
    editor.choose("key-point-tool", "Spoon")
    picture(editor, "tools")
    editor.click(*SPOON)
    assert editor.wait_for_suggestions() == ["brushregion"]
    picture(editor, "suggestion")
    expected = mask_of(backend, prompt_of(editor.drawn()), multimask=True)
    editor.accept()
    editor.submit()
    ((region,),) = studio.annotations(task)
    assert (region["type"], region["from_name"]) == ("brushlabels", "mask")
    assert region["value"]["brushlabels"] == ["Spoon"]
    stored = decode_brush(region["value"]["rle"], (HEIGHT, WIDTH))
    assert np.array_equal(stored, expected)
    assert 2_000 < stored.sum() < 20_000


def test_opening_a_task_encodes_its_image_and_leaves_no_prediction(studio: Studio, backend: Backend) -> None:
    project = studio.create_project("Opening", BRUSH)
    task, _ = studio.upload_photo(project, PHOTO)
    studio.connect(project, f"{backend.url}/label-studio", backend.token)
    studio.open_task(task)
    shown = backend.ask("GET", f"/v1/images/{IMAGE_ID}?wait=30")
    for _ in range(50):  # the service fetches the image in the background, and does not know it before
        if shown.status_code == 200:
            break
        shown = backend.ask("GET", f"/v1/images/{IMAGE_ID}?wait=30")
    assert shown.json()["status"] == "ready"
    assert studio.predictions(task) == []


def test_a_click_becomes_a_brush_region_that_is_submitted(studio: Studio, backend: Backend, editor: Editor) -> None:
    project = studio.create_project("Cups", BRUSH)
    task, _ = studio.upload_photo(project, PHOTO)
    studio.connect(project, f"{backend.url}/label-studio", backend.token)
    assert_a_click_is_the_apis_mask(studio, backend, editor, project, task)


@pytest.mark.parametrize("presign", [True, False], ids=["redirected to the bucket", "passed on by Label Studio"])
def test_a_click_on_a_photo_in_a_bucket_becomes_the_same_brush_region(
    studio: Studio, backend: Backend, editor: Editor, bucket: Bucket, presign: bool
) -> None:
    project = studio.create_project("Bucket", BRUSH)
    task, reference = studio.import_from(project, bucket.form, presign=presign)
    assert reference == "s3://pictures/cups/coffee 1.jpg"
    studio.connect(project, f"{backend.url}/label-studio", backend.token)
    assert_a_click_is_the_apis_mask(studio, backend, editor, project, task)


def test_a_negative_click_takes_away(studio: Studio, backend: Backend, editor: Editor) -> None:
    project = studio.create_project("Negative", BRUSH)
    task, _ = studio.upload_photo(project, PHOTO)
    studio.connect(project, f"{backend.url}/label-studio", backend.token)
    editor.open(project, task)
    editor.choose("key-point-tool", "Cup")
    editor.click(0.48, 0.40)
    editor.wait_for_suggestions()
    editor.choose("key-point-tool", "Cup")
    editor.click(0.48, 0.08, negative=True)
    editor.wait_for_suggestions()
    drawn = editor.drawn()
    expected = mask_of(backend, prompt_of(drawn), multimask=False)
    assert prompt_of(drawn)["labels"] == [1, 0]
    editor.accept()
    editor.submit()
    ((region,),) = studio.annotations(task)
    assert np.array_equal(decode_brush(region["value"]["rle"], (HEIGHT, WIDTH)), expected)


def test_a_rectangle_becomes_a_polygon(studio: Studio, backend: Backend, editor: Editor) -> None:
    project = studio.create_project("Polygons", POLYGONS)
    task, _ = studio.upload_photo(project, PHOTO)
    studio.connect(project, f"{backend.url}/label-studio", backend.token)
    editor.open(project, task)
    editor.choose("rectangle-tool", "Cup")
    editor.drag((0.26, 0.02), (0.72, 0.80))
    assert editor.wait_for_suggestions() == ["polygonregion"]
    picture(editor, "polygon")
    (box,) = (one["value"] for one in editor.drawn() if one["type"] == "rectanglelabels")
    x, y = box["x"] / 100 * WIDTH, box["y"] / 100 * HEIGHT
    corner = [x, y, x + box["width"] / 100 * WIDTH, y + box["height"] / 100 * HEIGHT]
    expected = mask_of(backend, {"box": corner}, multimask=False)
    editor.accept()
    editor.submit()
    ((region,),) = studio.annotations(task)
    assert region["value"]["polygonlabels"] == ["Cup"]
    assert len(region["value"]["points"]) < 150
    corners = [[y / 100 * HEIGHT - 0.5, x / 100 * WIDTH - 0.5] for x, y in region["value"]["points"]]
    drawn = polygon2mask((HEIGHT, WIDTH), corners)
    assert (drawn & expected).sum() / (drawn | expected).sum() > 0.97


def test_labels_may_be_a_tag_of_their_own(studio: Studio, backend: Backend, editor: Editor) -> None:
    project = studio.create_project("Separate labels", SEPARATE_LABELS)
    task, _ = studio.upload_photo(project, PHOTO)
    studio.connect(project, f"{backend.url}/label-studio", backend.token)
    editor.open(project, task)
    editor.choose("key-point-tool", "Spoon")
    editor.click(*SPOON)
    assert editor.wait_for_suggestions() == ["brushregion"]
    editor.accept()
    editor.submit()
    (regions,) = studio.annotations(task)
    kinds = {one["type"]: one for one in regions}
    assert set(kinds) == {"brush", "labels"}
    assert kinds["labels"]["value"]["labels"] == ["Spoon"]


def test_the_editors_own_route_answers_the_same(studio: Studio, backend: Backend) -> None:
    project = studio.create_project("Route", BRUSH)
    task, _ = studio.upload_photo(project, PHOTO)
    connected = studio.connect(project, f"{backend.url}/label-studio", backend.token)
    drawn = [keypoint(*SPOON), keypoint(0.5, 0.4, positive=False)]
    (region,) = studio.interact(connected, task, drawn)
    expected = mask_of(backend, prompt_of(drawn), multimask=False)
    assert np.array_equal(decode_brush(region["value"]["rle"], (HEIGHT, WIDTH)), expected)
    assert studio.interact(connected, task, [keypoint(*SPOON, positive=False)]) == []


def test_images_are_fetched_with_either_kind_of_token(studio: Studio) -> None:
    project = studio.create_project("Tokens", BRUSH)
    _, reference = studio.upload_photo(project, PHOTO)
    for token in (studio.personal_token, studio.allow_legacy_tokens()):
        instance = LabelStudioInstance(studio.url, credentials(token), max_bytes=1_000_000)
        assert instance.fetch(instance.target(reference)) == PHOTO
        assert instance.fetch(instance.target(studio.url + reference)) == PHOTO
