"""The ML backend's routes on in-memory stand-ins: what Label Studio sends and what it gets."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from prompt_api.http.routes.label_studio import MAX_NOTICE
from prompt_api.integrations.label_studio import backend, wire
from prompt_api.integrations.label_studio.pictures import MAX_WARMING
from prompt_api.integrations.label_studio.regions import shown_score
from shared.contract.errors import ConfigurationError
from tests.support.label_studio import (
    BRUSH,
    DATA_URL,
    HEIGHT,
    IMAGE_ID,
    PICTURE,
    POINT,
    RECTANGLE,
    STORED,
    TASK,
    WIDTH,
    Answer,
    Background,
    request,
    studio,
    taken_in,
    task_of,
)
from tests.support.rle_pack import decode_brush
from tests.support.world import OTHER, World, large_png, png


def predicted(world: World, *drawn: dict[str, Any], **more: Any) -> dict[str, Any]:
    answer = world.client.post("/label-studio/predict", json=request(*drawn, **more))
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json["results"]
    return dict(prediction)


def test_another_served_model_may_answer_label_studio(make_world: Callable[..., World]) -> None:
    world = make_world(label_studio_model="other")
    assert world.client.get("/label-studio/health").json["model_class"] == "other"
    world.ready_image(PICTURE, OTHER)
    assert predicted(world, POINT)["model_version"].startswith("other-")
    assert world.client.get("/v1/models").json["models"][0]["name"] == "fake"


def test_a_model_that_is_not_served_cannot_answer_label_studio(make_world: Callable[..., World]) -> None:
    with pytest.raises(
        ConfigurationError, match=r"SAM_LABEL_STUDIO_MODEL=gone: no such model is served; .* fake, other"
    ):
        make_world(label_studio_model="gone")


def ready(world: World) -> World:
    world.ready_image(PICTURE)
    return world


def test_it_is_up_and_names_its_model(world: World) -> None:
    assert world.client.get("/label-studio/health").json == {"status": "UP", "model_class": "fake"}
    setup = {"project": "1.1795371371", "schema": BRUSH, "hostname": "http://localhost:8080", "access_token": "t"}
    version = world.client.post("/label-studio/setup", json={**setup, "extra_params": None}).json["model_version"]
    assert version.startswith("fake-")
    assert predicted(ready(world), POINT)["model_version"] == version


def test_events_are_noted(world: World) -> None:
    event = {"action": "ANNOTATION_CREATED", "annotation": {"id": 1}, "project": {"id": 1}}
    assert world.client.post("/label-studio/webhook", json=event).json == {"status": "ok"}


def test_a_click_is_answered_with_the_mask_of_the_api(world: World) -> None:
    ready(world)
    prediction = predicted(world, POINT)
    (region,) = prediction["result"]
    asked = {"prompts": [{"points": [[48, 30]], "labels": [1]}], "multimask": True}
    masks = world.client.post(f"/v1/images/{IMAGE_ID}/masks", json=asked).json["results"][0]["masks"]
    best = max(masks, key=lambda mask: mask["score"])
    expected = coco.decode(best["rle"]).astype(bool)
    assert expected.any()
    assert np.array_equal(decode_brush(region["value"].pop("rle"), (HEIGHT, WIDTH)), expected)
    assert region.pop("id")
    assert region == {
        "type": "brushlabels",
        "from_name": "mask",
        "to_name": "image",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "score": best["score"],
        "value": {"format": "rle", "brushlabels": ["Cup"]},
    }
    assert prediction["score"] == best["score"]


def test_more_points_and_a_rectangle_are_answered_with_the_single_mask(world: World) -> None:
    ready(world)
    negative = {**POINT, "id": "n", "is_positive": False, "value": {**POINT["value"], "x": 90.0, "y": 90.0}}
    for drawn, prompt in (
        ([POINT, negative], {"points": [[48, 30], [108, 72]], "labels": [1, 0]}),
        ([RECTANGLE], {"box": [24, 16, 72, 48]}),
    ):
        (region,) = predicted(world, *drawn)["result"]
        asked = {"prompts": [prompt], "multimask": False}
        (mask,) = world.client.post(f"/v1/images/{IMAGE_ID}/masks", json=asked).json["results"][0]["masks"]
        stored = decode_brush(region["value"]["rle"], (HEIGHT, WIDTH))
        assert np.array_equal(stored, coco.decode(mask["rle"]).astype(bool))


def test_each_rectangle_gets_a_region(world: World) -> None:
    other = {**RECTANGLE, "id": "other", "value": {**RECTANGLE["value"], "x": 5.0, "y": 5.0}}
    regions = predicted(ready(world), RECTANGLE, other)["result"]
    assert len({region["id"] for region in regions}) == 2


def test_polygons_where_the_config_has_polygons(world: World) -> None:
    config = BRUSH.replace("BrushLabels", "PolygonLabels")
    (region,) = predicted(ready(world), RECTANGLE, config=config)["result"]
    assert (region["type"], region["value"]["polygonlabels"], region["value"]["closed"]) == (
        "polygonlabels",
        ["Cup"],
        True,
    )
    assert all(0 <= number <= 100 for point in region["value"]["points"] for number in point)


def test_a_label_of_its_own_tag_comes_as_an_entry_of_its_own(world: World) -> None:
    config = """<View><Image name="image" value="$image"/>
      <Labels name="label" toName="image"><Label value="Cup"/></Labels>
      <Brush name="mask" toName="image"/><KeyPoint name="point" toName="image" smart="true"/></View>"""
    bare = {**POINT, "type": "keypoint", "value": {"x": 40.0, "y": 37.5, "width": 0.2}}
    label = {**POINT, "type": "labels", "from_name": "label", "value": {"labels": ["Cup"]}}
    brush, labels = predicted(ready(world), bare, label, config=config)["result"]
    assert brush["id"] == labels["id"]
    assert (brush["type"], brush["from_name"], "labels" in brush["value"]) == ("brush", "mask", False)
    assert (labels["type"], labels["from_name"], labels["value"]["labels"]) == ("labels", "label", ["Cup"])


def test_the_prompt_goes_to_the_image_that_was_drawn_on(world: World) -> None:
    config = """<View><Image name="left" value="$left"/><Image name="right" value="$right"/>
      <BrushLabels name="l" toName="left"><Label value="Cup"/></BrushLabels>
      <BrushLabels name="r" toName="right"><Label value="Cup"/></BrushLabels></View>"""
    task = {**TASK, "data": {"left": "https://elsewhere.example/1.jpg", "right": DATA_URL}}
    (region,) = predicted(ready(world), {**POINT, "to_name": "right"}, task=task, config=config)["result"]
    assert (region["from_name"], region["to_name"]) == ("r", "right")


def test_a_page_is_named_in_the_answer(world: World) -> None:
    config = BRUSH.replace('value="$image"', 'valueList="$image"')
    task = {**TASK, "data": {"image": ["https://elsewhere.example/1.jpg", DATA_URL]}}
    (region,) = predicted(ready(world), {**POINT, "item_index": 1}, task=task, config=config)["result"]
    assert region["item_index"] == 1


def test_opening_a_task_encodes_its_image_and_predicts_nothing(world: World) -> None:
    answer = world.client.post("/label-studio/predict", json=request(context=False))
    assert answer.json == {"results": [[]]}
    world.encode_next()
    assert predicted(world, POINT)["result"]
    assert len(world.encodes) == 1


def test_of_very_many_tasks_only_some_images_are_taken_in_ahead(world: World) -> None:
    pictures = [png(4, 4, (number, green, 1)) for green in (1, 2) for number in range(MAX_WARMING // 2 + 5)]
    tasks = [task_of(one) for one in pictures]
    answer = world.client.post("/label-studio/predict", json=request(context=False) | {"tasks": tasks})
    assert len(answer.json["results"]) == len(tasks)
    assert taken_in(world, pictures) == MAX_WARMING


def test_a_click_before_the_encoding_gives_no_region_and_the_next_one_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "PATIENCE", 0.0)
    assert predicted(world, POINT)["result"] == []
    world.encode_next()
    assert predicted(world, POINT)["result"] != []


def test_a_click_does_not_wait_when_no_thread_can_be_spared(world: World) -> None:
    while world.services.waiters.acquire(blocking=False):
        pass
    assert predicted(world, POINT)["result"] == []


def test_a_fetch_is_left_to_the_background_when_no_thread_can_be_spared(
    make_world: Callable[..., World], background: Background
) -> None:
    answers, clicked = Event(), request(POINT, task=STORED)

    def answer(*_: object) -> tuple[int, dict[str, str], bytes]:
        answers.wait(60)
        return 200, {}, PICTURE

    with studio(answer) as (url, asked):
        world = make_world(label_studio_url=url, background=background)
        while world.services.waiters.acquire(blocking=False):
            pass
        for _ in range(3):  # answered at once, although Label Studio has not answered yet
            assert world.client.post("/label-studio/predict", json=clicked).json["results"][0]["result"] == []
        answers.set()
        background.finish()
        world.encode_next()
        assert predicted(world, POINT, task=STORED)["result"]
        assert [path for _, path, _ in asked] == ["/data/upload/1/a.png"]
        assert world.client.delete(f"/v1/images/{IMAGE_ID}").status_code == 204
        assert predicted(world, POINT, task=STORED)["result"] == []
        background.finish()
        assert len(asked) == 2


def test_an_image_that_was_deleted_meanwhile_is_taken_in_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "PATIENCE", 0.0)
    predicted(world, POINT)
    world.encode_next()
    assert world.client.delete(f"/v1/images/{IMAGE_ID}").status_code == 204
    assert predicted(world, POINT)["result"] == []
    world.encode_next()
    assert predicted(world, POINT)["result"] != []


@pytest.mark.parametrize("drawn", [[], [{**POINT, "is_positive": False}]], ids=["nothing", "only negative"])
def test_nothing_to_find_is_an_empty_prediction(world: World, drawn: list[dict[str, Any]]) -> None:
    assert predicted(ready(world), *drawn)["result"] == []


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("no tasks", {"label_config": BRUSH, "tasks": []}, "invalid-prompt"),
    ("no label config", {"tasks": [TASK]}, "invalid-prompt"),
    ("two tasks", {**request(POINT), "tasks": [TASK, TASK]}, "invalid-prompt"),
    ("no such image tag", request({**POINT, "to_name": "other"}), "invalid-prompt"),
    ("not a number", request({**POINT, "value": {"x": "left"}}), "invalid-prompt"),
    ("too many rectangles", request(*[RECTANGLE] * 65), "invalid-prompt"),
    ("too many points", request(*[POINT] * 257), "invalid-prompt"),
    ("far outside", request({**POINT, "value": {"x": 900.0, "y": 1.0}}), "invalid-prompt"),
    ("image elsewhere", request(POINT, task={**TASK, "data": {"image": "https://x.example/1"}}), "image-unreachable"),
    ("a local file", request(POINT, task={**TASK, "data": {"image": "file:///etc/passwd"}}), "image-unreachable"),
    ("not base64", request(POINT, task={**TASK, "data": {"image": "data:image/png;base64,%"}}), "invalid-image"),
    ("no data", request(POINT, task={**TASK, "data": {"image": "data:image/png"}}), "invalid-image"),
    ("not an image", request(POINT, task={**TASK, "data": {"image": "data:,Dear%20annotator"}}), "unsupported-image"),
]


@pytest.mark.parametrize(("body", "code"), [(body, code) for _, body, code in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_a_request_that_cannot_be_answered_says_why_and_the_log_too(
    world: World, caplog: pytest.LogCaptureFixture, body: dict[str, Any], code: str
) -> None:
    ready(world)
    with caplog.at_level(logging.WARNING):
        answer = world.client.post("/label-studio/predict", json=body)
    assert answer.json["code"] == code
    assert answer.status_code == (415 if code == "unsupported-image" else 422)
    assert f"{code}: {answer.json['detail']}" in caplog.text


@pytest.mark.parametrize("path", ["setup", "predict", "webhook"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"null"])
def test_what_is_not_an_object_is_malformed(world: World, path: str, body: bytes) -> None:
    answer = world.client.post(f"/label-studio/{path}", data=body)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt")


BULKY = {
    "numbers": b"[" + b"1," * wire.MAX_VALUES + b"1]",
    "arrays": b"[" + b"[]," * wire.MAX_CONTAINERS + b"1]",
    "nested arrays": b"[" + (b"[" * 100 + b"]" * 100 + b",") * (wire.MAX_CONTAINERS // 100) + b"1]",
    "objects": b"[" + b'{"a":{}},' * (wire.MAX_CONTAINERS // 2) + b"1]",
}


@pytest.mark.parametrize("path", ["setup", "predict", "webhook"])
@pytest.mark.parametrize("bulk", BULKY)
def test_json_of_very_many_tiny_values_is_refused_unread(world: World, path: str, bulk: str) -> None:
    body = b'{"tasks": [{"data": {"x": %s}}], "label_config": "<View/>"}' % BULKY[bulk]
    answer = world.client.post(f"/label-studio/{path}", data=body)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt")
    assert "more than 1000000 values" in answer.json["detail"]


def test_tasks_with_many_drawn_masks_are_taken(world: World) -> None:
    mask = {"type": "brushlabels", "value": {"format": "rle", "rle": [255] * 10_000, "brushlabels": ["Cup"]}}
    task = {**TASK, "drafts": [{"id": 2, "result": [mask] * 50}]}
    assert predicted(ready(world), POINT, task=task)["result"]


def test_tasks_are_bounded(world: World) -> None:
    tasks = [{"data": {}}] * (wire.MAX_TASKS + 1)
    answer = world.client.post("/label-studio/predict", json={"tasks": tasks, "label_config": BRUSH})
    assert (answer.status_code, answer.json["code"]) == (422, "invalid-prompt")
    assert world.client.post("/label-studio/predict", json={"tasks": tasks[1:], "label_config": BRUSH}).json


@pytest.mark.parametrize("path", ["setup", "webhook"])
def test_what_is_only_noted_is_small(world: World, path: str) -> None:
    for size, status in ((MAX_NOTICE, 200), (MAX_NOTICE + 1, 413)):
        body = b'{"note": "' + b" " * (size - 12) + b'"}'
        assert world.client.post(f"/label-studio/{path}", data=body).status_code == status


def test_bodies_are_bounded(make_world: Callable[..., World]) -> None:
    world = make_world(max_upload_bytes=10_000)
    answer = world.client.post("/label-studio/predict", data=b" " * 10_001)
    assert (answer.status_code, answer.json["code"]) == (413, "request-too-large")


def test_an_image_in_cloud_storage_comes_by_way_of_label_studio(
    make_world: Callable[..., World], background: Background
) -> None:
    def bucket_answers(*_: object) -> Answer:
        return 200, {}, PICTURE

    with studio(bucket_answers) as (bucket, asked_bucket):
        redirect = {"Location": f"{bucket}/a.png?X-Amz-Signature=0f"}
        with studio(lambda *_: (303, redirect, b"")) as (url, asked):
            world = make_world(label_studio_url=url, label_studio_token="secret", background=background)
            cloud = {**TASK, "data": {"image": "s3://bucket/a.png"}}
            world.client.post("/label-studio/predict", json=request(task=cloud, context=False))
            background.finish()
            world.ready_image(PICTURE)
            assert predicted(world, POINT, task=cloud)["result"]
    uri = base64.urlsafe_b64encode(b"s3://bucket/a.png").decode()
    assert asked == [("GET", f"/tasks/3/presign/?fileuri={uri}", "Token secret")]
    assert asked_bucket == [("GET", "/a.png?X-Amz-Signature=0f", None)]


def test_a_task_may_carry_a_further_name_of_label_studio(make_world: Callable[..., World]) -> None:
    with studio(lambda *_: (200, {}, PICTURE)) as (url, asked):
        world = make_world(label_studio_url=url, label_studio_aliases="https://labels.example, http://studio:8080")
        world.ready_image(PICTURE)
        named = {**TASK, "data": {"image": "http://studio:8080/data/local-files?d=a.png"}}
        assert predicted(world, POINT, task=named)["result"]
    assert [path for _, path, _ in asked] == ["/data/local-files?d=a.png"]


def test_a_mask_of_an_image_in_a_repeater_goes_to_the_tags_beside_it(world: World) -> None:
    config = """<View><Repeater on="$images"><Image name="image_{{idx}}" value="$images[{{idx}}]"/>
      <BrushLabels name="mask_{{idx}}" toName="image_{{idx}}"><Label value="Cup"/></BrushLabels></Repeater></View>"""
    task = {**TASK, "data": {"images": [DATA_URL.replace("png", "jpeg"), DATA_URL]}}
    (region,) = predicted(ready(world), {**POINT, "to_name": "image_1"}, task=task, config=config)["result"]
    assert (region["from_name"], region["to_name"]) == ("mask_1", "image_1")


@pytest.mark.parametrize(
    ("predicted_iou", "shown"),
    [(1.0127, 1.0), (1.0000001, 1.0), (1.0, 1.0), (2.5, 1.0), (0.93, 0.93), (0.0, 0.0), (-0.01, 0.0), (-3.0, 0.0)],
)
def test_a_score_is_what_label_studio_allows(predicted_iou: float, shown: float) -> None:
    assert shown_score(predicted_iou) == shown


LARGE = large_png()
"""A picture that has regions."""


def of_large(drawn: dict[str, Any], **value: float) -> dict[str, Any]:
    return {**drawn, "original_width": 1600, "original_height": 1000, "value": {**drawn["value"], **value}}


def large_task() -> dict[str, Any]:
    return {**TASK, "data": {"image": "data:image/png;base64," + base64.b64encode(LARGE).decode()}}


def painted(region: dict[str, Any]) -> Any:
    return decode_brush(region["value"]["rle"], (1000, 1600))


def masks_of(world: World, image_id: str, prompt: dict[str, Any], **members: Any) -> Any:
    asked = {"prompts": [prompt], **members}
    answer = world.client.post(f"/v1/images/{image_id}/masks", json=asked).json
    best = max(answer["results"][0]["masks"], key=lambda mask: mask["score"])
    return answer, coco.decode(best["rle"]).astype(bool)


def test_a_click_on_a_large_picture_waits_for_its_region(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world(label_studio_regions_above=1599)
    image_id = world.ready_image(LARGE)
    click = {"points": [[640, 375]], "labels": [1]}
    _, whole = masks_of(world, image_id, click)
    monkeypatch.setattr(backend, "PATIENCE", 0.0)
    assert np.array_equal(painted(predicted(world, of_large(POINT), task=large_task())["result"][0]), whole)
    monkeypatch.setattr(backend, "PATIENCE", 30.0)
    worker = Background()
    try:
        worker.submit(world.encode_next)  # while the click waits, or before
        (region,) = predicted(world, of_large(POINT), task=large_task())["result"]
        worker.finish()
    finally:
        worker.shutdown()
    answer, finer = masks_of(world, image_id, click, region="auto")
    assert answer["region"] is not None
    assert not np.array_equal(finer, whole)
    assert np.array_equal(painted(region), finer)


def test_each_of_several_rectangles_gets_its_own_region(make_world: Callable[..., World]) -> None:
    world = make_world(label_studio_regions_above=1599)
    image_id = world.ready_image(LARGE)
    boxes = [(25.0, 25.0, 10.0, 15.0), (80.0, 70.0, 8.0, 10.0)]
    drawn = [
        {**of_large(RECTANGLE, x=x, y=y, width=width, height=height), "id": str(number)}
        for number, (x, y, width, height) in enumerate(boxes)
    ]
    worker = Background()
    try:
        jobs = [worker.submit(encode_when_queued, world) for _ in boxes]
        found = predicted(world, *drawn, task=large_task())["result"]
        for job in jobs:
            job.result()
    finally:
        worker.shutdown()
    corners = set()
    for (x, y, width, height), region in zip(boxes, found, strict=True):
        box = [16 * x, 10 * y, 16 * (x + width), 10 * (y + height)]
        answer, expected = masks_of(world, image_id, {"box": box}, region="auto", multimask=False)
        assert np.array_equal(painted(region), expected)
        corners.add(tuple(answer["region"]))
    assert len(corners) == 2


def encode_when_queued(world: World) -> None:
    """Encode the next image or region, as soon as there is one."""
    before = len(world.encodes)
    while len(world.encodes) == before:
        with suppress(IndexError):  # nothing is queued yet
            world.encode_next()
        time.sleep(0.001)


def test_a_picture_that_is_not_large_has_no_regions(make_world: Callable[..., World]) -> None:
    for above in (1600, 0):
        world = make_world(label_studio_regions_above=above)
        world.ready_image(LARGE)
        assert predicted(world, of_large(POINT), task=large_task())["result"]
        with pytest.raises(IndexError):
            world.encode_next()


def test_without_a_thread_to_wait_a_click_gets_the_mask_of_the_whole_picture(
    make_world: Callable[..., World],
) -> None:
    world = make_world(label_studio_regions_above=1599)
    image_id = world.ready_image(LARGE)
    while world.services.waiters.acquire(blocking=False):
        pass
    (region,) = predicted(world, of_large(POINT), task=large_task())["result"]
    _, whole = masks_of(world, image_id, {"points": [[640, 375]], "labels": [1]})
    assert np.array_equal(painted(region), whole)
    world.encode_next()  # its region was queued all the same
