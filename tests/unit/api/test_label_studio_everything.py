"""Pre-annotations for Label Studio on in-memory stand-ins: every mask of a task that is opened."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco

from prompt_api.everything.options import EverythingOptions, Mode
from prompt_api.integrations.label_studio import backend, pre_annotations
from prompt_api.integrations.label_studio.pre_annotations import MAX_NUMBERS
from prompt_api.integrations.label_studio.wire import parse_predict
from shared.contract.errors import EverythingFailed
from tests.support.label_studio import (
    BRUSH,
    HEIGHT,
    IMAGE_ID,
    PICTURE,
    POINT,
    STORED,
    TASK,
    WIDTH,
    Background,
    request,
    studio,
    task_of,
)
from tests.support.rle_pack import decode_brush
from tests.support.world import World, png

MANY = EverythingOptions(points_per_side=4, pred_iou_thresh=0.5, stability_score_thresh=0.0, mode=Mode.FAST)
"""What the model without weights finds several masks with."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "PATIENCE", 0.0)
    monkeypatch.setattr(pre_annotations, "OPTIONS", MANY)


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world(label_studio_everything="true")


def wait_for_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give requests time for everything but the end of a search."""
    monkeypatch.setattr(backend, "PATIENCE", 60.0)
    state = world.services.everything.state
    monkeypatch.setattr(world.services.everything, "wait", lambda image_id, name, _: state(image_id, name))


@pytest.fixture
def no_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_nothing(world, monkeypatch)


def opened(world: World, task: dict[str, Any] = TASK, config: str = BRUSH) -> Any:
    answer = world.client.post("/label-studio/predict", json=request(task=task, config=config, context=False))
    assert answer.status_code == 200, answer.text
    (result,) = answer.json["results"]
    return result


def searched(world: World, task: dict[str, Any] = TASK, config: str = BRUSH) -> Any:
    """Open a task, do the jobs that this asks for, and open it again."""
    assert opened(world, task, config) == [], "nothing is stored before the masks are there, so it is asked for again"
    world.encode_next()
    world.search_next()
    return opened(world, task, config)


def test_it_is_off_unless_it_is_wanted(make_world: Callable[..., World]) -> None:
    world = make_world()
    assert opened(world) == []
    world.encode_next()
    with pytest.raises(IndexError):
        world.search_next()
    assert opened(world) == []


def test_the_second_opening_gets_every_mask_of_the_api(world: World) -> None:
    prediction = searched(world)
    body = {"points_per_side": 4, "pred_iou_thresh": 0.5, "stability_score_thresh": 0.0, "mode": "fast"}
    masks = world.client.post(f"/v1/images/{IMAGE_ID}/everything", json=body).json["masks"]
    assert len(prediction["result"]) == len(masks) > 1
    for region, mask in zip(prediction["result"], masks, strict=True):
        drawn = decode_brush(region["value"]["rle"], (HEIGHT, WIDTH))
        assert np.array_equal(drawn, coco.decode(mask["rle"]).astype(bool))
        assert (region["type"], region["from_name"], region["to_name"]) == ("brushlabels", "mask", "image")
        assert region["value"]["brushlabels"] == ["Cup"], "nobody chose a label, so it is the first"
        assert region["score"] == mask["predicted_iou"]
    assert prediction["score"] == min(mask["predicted_iou"] for mask in masks)
    assert prediction["model_version"].startswith("fake-")


def test_masks_that_come_within_the_wait_are_in_the_first_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "PATIENCE", 60.0)
    world.ready_image(PICTURE)
    service = world.services.everything
    wait = service.wait

    def searched_meanwhile(image_id: str, name: str, seconds: float) -> Any:
        assert 0 < seconds <= 60
        world.search_next()
        return wait(image_id, name, seconds)

    monkeypatch.setattr(service, "wait", searched_meanwhile)
    assert len(opened(world)["result"]) > 1


def test_polygons_and_bare_brushes_take_masks_too(world: World) -> None:
    polygons = searched(world, config=BRUSH.replace("BrushLabels", "PolygonLabels"))["result"]
    assert {region["type"] for region in polygons} == {"polygonlabels"}
    bare = """<View><Image name="image" value="$image"/><Brush name="mask" toName="image"/>
      <Labels name="label" toName="image"><Label value="Cup"/></Labels></View>"""
    regions = opened(world, config=bare)["result"]
    assert {region["type"] for region in regions} == {"brush"}


def test_only_so_many_regions_are_given(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    every = searched(world)["result"]
    monkeypatch.setattr(pre_annotations, "MAX_REGIONS", len(every) - 1)
    assert len(opened(world)["result"]) == len(every) - 1


@pytest.mark.parametrize(("tag", "part", "each"), [("BrushLabels", "rle", 1), ("PolygonLabels", "points", 5)])
def test_as_many_regions_are_given_as_have_room(
    world: World, monkeypatch: pytest.MonkeyPatch, tag: str, part: str, each: int
) -> None:
    config = BRUSH.replace("BrushLabels", tag)
    first, *others = searched(world, config=config)["result"]
    assert others
    room = each * len(first["value"][part])
    monkeypatch.setattr(pre_annotations, "MAX_NUMBERS", room)
    assert len(opened(world, config=config)["result"]) == 1
    monkeypatch.setattr(pre_annotations, "MAX_NUMBERS", room - 1)
    assert opened(world, config=config) == []


@pytest.mark.parametrize("value", [{"rle": [255] * MAX_NUMBERS}, {"points": [[12.5, 50.0]] * (MAX_NUMBERS // 5)}])
def test_the_largest_prediction_comes_back_with_its_draft_and_its_annotation(value: dict[str, Any]) -> None:
    copies = {name: [{"result": [{"value": value}]}] for name in ("predictions", "drafts", "annotations")}
    parse_predict(json.dumps(request(POINT, task={**TASK, **copies})).encode())


def test_pages_name_themselves_and_all_of_them_must_be_searched(world: World) -> None:
    config = BRUSH.replace('value="$image"', 'valueList="$image"')
    pages = [TASK["data"]["image"]] * 2
    prediction = searched(world, {**TASK, "data": {"image": pages}}, config)
    assert {region["item_index"] for region in prediction["result"]} == {0, 1}
    more = pages * pre_annotations.MAX_PICTURES
    assert opened(world, {**TASK, "data": {"image": more}}, config) == []


def retrieved(world: World, *tasks: dict[str, Any]) -> list[int]:
    """Ask for the predictions of several tasks at once. Return how many regions each gets."""
    answer = world.client.post("/label-studio/predict", json=request(context=False) | {"tasks": tasks})
    assert answer.status_code == 200, answer.text
    return [len(one["result"]) if one else 0 for one in answer.json["results"]]


def two_tasks(world: World) -> list[dict[str, Any]]:
    """Return tasks of two pictures that are encoded."""
    pictures = [png(90, 60), png(60, 90)]
    for one in pictures:
        world.ready_image(one)
    return [task_of(one) for one in pictures]


def test_several_tasks_at_once_get_the_masks_of_those_that_are_searched(world: World, no_wait: None) -> None:
    tasks = two_tasks(world)
    unreachable = {**TASK, "data": {"image": "https://x.example/1.jpg"}}
    assert retrieved(world, tasks[0], unreachable, tasks[1]) == [0, 0, 0]
    world.search_next()
    first, *others = retrieved(world, tasks[0], unreachable, tasks[1])
    assert first > 1
    assert others == [0, 0], "Label Studio stores nothing for them, and asks again"
    world.search_next()
    both = retrieved(world, tasks[0], unreachable, tasks[1])
    assert (both[0], both[1]) == (first, 0)
    assert both[2] > 1


def test_when_the_time_is_over_only_the_first_task_gets_its_masks(world: World) -> None:
    tasks = two_tasks(world)
    assert retrieved(world, *tasks) == [0, 0]
    world.search_next()
    world.search_next()
    first, second = retrieved(world, *tasks)
    assert (first > 1, second) == (True, 0)
    assert retrieved(world, tasks[1])[0] > 1, "Label Studio asks for the tasks that have no prediction yet"


def test_of_many_tasks_the_first_ones_are_searched_that_can_have_masks(
    world: World, no_wait: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pre_annotations, "MAX_TASKS", 1)
    nothing = EverythingOptions(points_per_side=2, pred_iou_thresh=1.0, stability_score_thresh=1.0, mode=Mode.FAST)
    monkeypatch.setattr(pre_annotations, "OPTIONS", nothing)
    first, second = two_tasks(world)
    unreachable = {**TASK, "data": {"image": "https://x.example/1.jpg"}}
    for _ in range(2):
        assert retrieved(world, unreachable, first, second) == [0, 0, 0]
        world.search_next()
        with pytest.raises(IndexError):  # one search for each request
            world.search_next()
    assert retrieved(world, unreachable, first, second) == [0, 0, 0]
    with pytest.raises(IndexError):
        world.search_next()


def test_a_search_that_failed_is_tried_again_and_the_task_opens(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.ready_image(PICTURE)
    assert opened(world) == []

    def fail(_: Any) -> None:
        raise EverythingFailed("the model broke")

    world.jobs.run_next(fail)
    assert opened(world) == []
    world.search_next()
    assert len(opened(world)["result"]) > 1
    with caplog.at_level(logging.INFO):
        assert opened(world, {**TASK, "data": {"image": "https://x.example/1.jpg"}}) == []
    assert "no pre-annotations for task 3: image-unreachable" in caplog.text
    assert opened(world, config='<View><Image name="image" value="$image"/></View>') == []


@contextmanager
def no_waiters(world: World) -> Iterator[None]:
    taken = 0
    while world.services.waiters.acquire(blocking=False):
        taken += 1
    yield
    for _ in range(taken):
        world.services.waiters.release()


def test_no_thread_waits_if_none_can_be_spared(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "PATIENCE", 60.0)
    world.ready_image(PICTURE)
    with no_waiters(world):
        assert opened(world) == []
        world.search_next()
        assert len(opened(world)["result"]) > 1
    assert world.services.waiters.acquire(blocking=False), "the slot comes back"


def test_an_image_of_label_studio_is_fetched_once(
    make_world: Callable[..., World], background: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    with studio(lambda *_: (200, {}, PICTURE)) as (url, asked):
        world = make_world(label_studio_everything="true", label_studio_url=url, background=background)
        wait_for_nothing(world, monkeypatch)
        assert len(searched(world, STORED)["result"]) > 1
        background.finish()
        assert [path for _, path, _ in asked] == ["/data/upload/1/a.png"]
        assert world.client.delete(f"/v1/images/{IMAGE_ID}").status_code == 204
        assert len(searched(world, STORED)["result"]) > 1, "what was deleted meanwhile is taken in again"


def test_when_the_time_is_over_an_image_is_fetched_in_the_background(
    make_world: Callable[..., World], background: Background
) -> None:
    with studio(lambda *_: (200, {}, PICTURE)) as (url, _):
        world = make_world(label_studio_everything="true", label_studio_url=url, background=background)
        assert opened(world, STORED) == []
        background.finish()
        assert len(searched(world, STORED)["result"]) > 1


def test_ten_openings_are_one_search(world: World) -> None:
    world.ready_image(PICTURE)
    assert [opened(world) for _ in range(10)] == [[]] * 10
    world.search_next()
    with pytest.raises(IndexError):
        world.search_next()
