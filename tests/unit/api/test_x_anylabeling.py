"""X-AnyLabeling's remote server protocol on in-memory stand-ins: what its client sends, shows and costs."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from werkzeug.test import TestResponse

from prompt_api.access.grants import Grant, digest_of
from prompt_api.access.new_token import new_token
from prompt_api.access.scopes import Scope
from prompt_api.integrations import carried_images
from shared.contract.keys import EmbeddingKey, image_key, record_key
from shared.contract.models import FAKE
from shared.contract.picture_formats import NAMED
from tests.support.carried import named, recorded
from tests.support.world import OTHER, World, png
from tests.unit.api.test_problems import assert_problem

RECORDING = recorded("x_anylabeling/recorded-4.2.1.json")
PICTURE = png()
IMAGE_ID = hashlib.sha256(PICTURE).hexdigest()
POINT = {"type": "point", "data": [48, 30], "label": 1}
BOX = {"type": "rectangle", "data": [24, 16, 72, 48], "label": 1}
PREDICT = "/x-anylabeling/v1/predict"
ANNA, BERT = new_token(), new_token()
TOKENS = ",".join(
    Grant(name, frozenset(Scope), digest_of(token)).entry for name, token in (("anna", ANNA), ("bert", BERT))
)


def asked(*marks: dict[str, Any], picture: bytes = PICTURE, model: str = "fake", **params: Any) -> dict[str, Any]:
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    return {"model": model, "image": url, "params": {"marks": [*marks], **params}}


def predict(world: World, *marks: dict[str, Any], token: str | None = None, **more: Any) -> TestResponse:
    headers = {} if token is None else {"Token": token}
    return world.client.post(PREDICT, json=asked(*marks, **more), headers=headers)


def shapes(answer: TestResponse) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.json["success"] is True
    assert answer.json["data"]["replace"] is False
    return list(answer.json["data"]["shapes"])


def ready(world: World, picture: bytes = PICTURE) -> World:
    world.ready_image(picture)
    return world


def test_what_x_anylabeling_sent_is_answered_with_what_it_showed(make_world: Callable[..., World]) -> None:
    world = make_world(tokens=TOKENS)
    picture = base64.b64decode(named(RECORDING, "a point")["request"]["body"]["image"].partition(",")[2])
    world.client.post("/v1/images", data=picture, headers={"Authorization": f"Bearer {ANNA}"})
    world.encode_next()
    for case in RECORDING["cases"]:
        must_be_answered(world, case)
    assert len(world.encodes) == 1


def must_be_answered(world: World, case: dict[str, Any]) -> None:
    headers = {**case["request"]["headers"], "Token": ANNA}
    answer = world.client.open(case["request"]["path"], method="POST", json=case["request"]["body"], headers=headers)
    assert answer.status_code == case["request"]["status"]
    if answer.status_code != HTTPStatus.OK:
        (reason,) = [case["message"]] if isinstance(case["message"], str) else case["message"]
        assert answer.status.partition(" ")[2] in reason
        assert case["shown"] == {"shapes": [], "replace": False, "description": ""}
        return
    drawn = [shape | {"points": opened(shape["points"])} for shape in shapes(answer)]
    assert drawn == case["shown"]["shapes"]
    assert case["message"] == []


def opened(points: list[list[float]]) -> list[list[float]]:
    """Return the points as X-AnyLabeling keeps them: the repeated first point closes a polygon."""
    return points[:-1] if points[0] == points[-1] else points


def test_the_client_is_offered_every_model_with_three_forms(world: World) -> None:
    offered = world.client.get("/x-anylabeling/v1/models").json
    assert list(offered["data"]) == ["fake", "other"]
    assert [task["id"] for task in offered["data"]["fake"]["available_tasks"]] == ["polygon", "rectangle", "rotation"]
    assert offered["data"] == RECORDING["offered"]
    one = world.client.get("/x-anylabeling/v1/models/other/info").json["data"]
    assert one == {"model_id": "other", **offered["data"]["other"]}
    assert_problem(world.client.get("/x-anylabeling/v1/models/nope/info"), 404, "model-not-found")


def test_an_error_does_not_make_the_client_remove_what_is_drawn(world: World) -> None:
    widgets = world.client.get("/x-anylabeling/v1/models").json["data"]["fake"]["widgets"]
    assert {"name": "toggle_preserve_existing_annotations", "value": True} in widgets


def test_health_needs_no_token(make_world: Callable[..., World]) -> None:
    health = make_world(tokens=TOKENS).client.get("/x-anylabeling/health")
    assert (health.json["status"], health.json["models_loaded"]) == ("healthy", 2)


@pytest.mark.parametrize("model", [FAKE, OTHER])
def test_shapes_are_the_mask_of_the_services_own_route(world: World, model: Any) -> None:
    image_id = world.ready_image(PICTURE, model)
    for marks, prompt, multimask in (
        ([POINT], {"points": [[48, 30]], "labels": [1]}, True),
        ([BOX], {"box": [24, 16, 72, 48]}, False),
        ([BOX, POINT], {"box": [24, 16, 72, 48], "points": [[48, 30]], "labels": [1]}, False),
    ):
        (polygon,) = shapes(predict(world, *marks, model=model.name))
        (rectangle,) = shapes(predict(world, *marks, model=model.name, current_task="rectangle"))
        body = {"prompts": [prompt], "multimask": multimask}
        masks = world.client.post(f"/v1/images/{image_id}/masks?model={model.name}", json=body).json["results"][0]
        best = max(masks["masks"], key=lambda mask: mask["score"])
        expected = coco.decode(best["rle"]).astype(bool)
        assert expected.any()
        flat = [number for point in polygon["points"] for number in point]
        (drawn,) = coco.frPyObjects([flat], *expected.shape)
        assert np.array_equal(coco.decode(drawn).astype(bool), expected)
        x, y, width, height = best["bbox"]
        assert rectangle["points"] == [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]
        assert polygon["score"] == best["score"]


def test_an_image_is_stored_and_encoded_once_however_often_it_is_carried(make_world: Callable[..., World]) -> None:
    world = make_world(rate_limit_uploads="1/hour")
    assert shapes(predict(world)) == []  # without marks it is only taken in
    world.encode_next()
    for _ in range(3):
        assert shapes(predict(world, POINT))
    assert len(world.encodes) == 1
    assert_problem(predict(world, POINT, picture=png(60, 40)), 429, "rate-limited")


def test_each_rectangle_counts_as_a_prompt(make_world: Callable[..., World]) -> None:
    world = ready(make_world(rate_limit_prompts="3/hour"))
    assert len(shapes(predict(world, BOX, BOX))) == 2
    assert_problem(predict(world, BOX, BOX), 429, "rate-limited")
    assert shapes(predict(world, BOX))


def test_the_first_request_waits_for_the_encoding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[TestResponse] = []
    watching, watch = threading.Event(), world.events.watch
    monkeypatch.setattr(world.events, "watch", lambda key: (watching.set(), watch(key))[1])
    waiting = threading.Thread(target=lambda: answers.append(predict(world, POINT)))
    waiting.start()
    assert watching.wait(60)
    world.encode_next()
    world.events.publish(EmbeddingKey.of(IMAGE_ID, FAKE), "ready")
    waiting.join()
    assert shapes(answers[0])


def test_if_it_takes_too_long_the_person_is_told_to_try_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carried_images, "PATIENCE", 0.0)
    answer = predict(world, POINT)
    assert_problem(answer, 503, "overloaded")
    assert answer.status == "503 the image is still being encoded; try again in a moment"
    assert answer.headers["Retry-After"] == "2"
    world.encode_next()
    assert shapes(predict(world, POINT))
    assert len(world.encodes) == 1


def test_if_too_many_wait_already_nobody_else_does(world: World) -> None:
    while world.services.waiters.acquire(blocking=False):
        pass
    assert_problem(predict(world, POINT), 503, "overloaded")
    world.encode_next()
    assert shapes(predict(world, POINT))


def test_an_image_that_the_service_lost_is_taken_in_again(world: World) -> None:
    image_id = world.ready_image(PICTURE)
    assert shapes(predict(world, POINT))
    for key in (EmbeddingKey.of(image_id, FAKE).redis_key, image_key(image_id), record_key(image_id)):
        world.store.delete(key)
    world.services.masks.forget(image_id)
    world.queue.forget(EmbeddingKey.of(image_id, FAKE))
    answer = predict(world, POINT)
    assert answer.status == "503 the service has lost the image; try again"
    assert shapes(predict(world)) == []
    world.encode_next()
    assert shapes(predict(world, POINT))


def test_the_key_of_x_anylabeling_is_a_token(make_world: Callable[..., World]) -> None:
    world = make_world(tokens=TOKENS)
    for key in (None, "", "wrong"):
        answer = predict(world, POINT, token=key)
        assert_problem(answer, 401, "unauthorized")
    assert_problem(world.client.get("/x-anylabeling/v1/models", headers={"Token": BERT + "x"}), 401, "unauthorized")
    assert world.client.get("/x-anylabeling/v1/models", headers={"Token": BERT}).status_code == 200
    # That header is a token for this tool only.
    assert_problem(world.client.get("/v1/models", headers={"Token": BERT}), 401, "unauthorized")


def test_namespaces_do_not_see_each_others_images(make_world: Callable[..., World]) -> None:
    world = make_world(tokens=TOKENS)
    assert shapes(predict(world, token=ANNA)) == []
    world.encode_next()
    url = f"/v1/images/{IMAGE_ID}"
    assert world.client.get(url, headers={"Authorization": f"Bearer {ANNA}"}).status_code == 200
    assert_problem(world.client.get(url, headers={"Authorization": f"Bearer {BERT}"}), 404, "image-not-found")
    assert shapes(predict(world, POINT, token=BERT))  # who carries the bytes has them
    world.client.delete(url, headers={"Authorization": f"Bearer {BERT}"})
    assert shapes(predict(world, POINT, token=BERT))
    assert len(world.encodes) == 1


def test_an_address_that_ends_in_a_slash_works(world: World) -> None:
    ready(world)
    answer = world.client.post("/x-anylabeling//v1/predict", json=asked(POINT), follow_redirects=True)
    assert shapes(answer)


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"image": ""}, 422, "invalid-image"),
    ({"image": "data:image/png;base64,"}, 422, "invalid-image"),
    ({"image": "data:image/png;base64,A"}, 422, "invalid-image"),
    ({"image": base64.b64encode(b"Dear annotator").decode()}, 415, "unsupported-image"),
    ({"image": base64.b64encode(PICTURE[:-20]).decode()}, 422, "invalid-image"),
    ({"model": "x" * 200}, 404, "model-not-found"),
    ({"model": "x" * 300}, 422, "invalid-prompt"),
    ({"params": {"marks": [{"type": "point", "data": [1]}]}}, 422, "invalid-prompt"),
    ({"params": {"marks": [{"type": "rectangle", "data": [1, 2, 3]}]}}, 422, "invalid-prompt"),
    ({"params": {"marks": [{"type": "rectangle", "data": [5, 5, 5, 9]}]}}, 422, "invalid-prompt"),
    ({"params": {"marks": [{**BOX, "label": 0}]}}, 422, "invalid-prompt"),
    ({"params": {"marks": [BOX] * 65}}, 422, "invalid-prompt"),
    ({"params": {"marks": [POINT] * 65}}, 422, "invalid-prompt"),
    ({"params": {"marks": [BOX] * 60 + [POINT] * 60}}, 422, "invalid-prompt"),
    ({"params": {"marks": [{"type": "point", "data": [900, 30]}]}}, 422, "invalid-prompt"),
    ({"params": {"current_task": "cuboid"}}, 422, "invalid-prompt"),
    ({"params": {"epsilon_factor": -1}}, 422, "invalid-prompt"),
]


def test_bad_requests_are_refused_in_words(world: World) -> None:
    ready(world)
    for body, status, code in BAD:
        answer = world.client.post(PREDICT, json=asked(POINT) | body)
        assert_problem(answer, status, code)
        reason = answer.status.partition(" ")[2]
        assert reason
        assert reason.isascii()
        assert reason.isprintable()
        assert len(reason) <= 200


def test_a_reason_is_one_line_whatever_the_client_sent(world: World) -> None:
    answer = world.client.post(PREDICT, json=asked(POINT, model="a\r\nSet-Cookie: b=1; é…"))
    assert answer.status_code == 404
    assert "Set-Cookie" not in answer.headers
    assert answer.status.isascii()
    assert answer.status.isprintable()


def test_a_format_that_the_service_does_not_take_is_named(world: World) -> None:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "GIF")
    answer = predict(world, POINT, picture=file.getvalue())
    assert answer.status == f"415 the image is not a {NAMED}"


def test_marks_of_other_kinds_are_no_prompts(world: World) -> None:
    assert shapes(predict(ready(world), {"type": "auto_grid"}, {**POINT, "label": 0})) == []
    assert shapes(predict(world, POINT, {"type": "auto_grid"}))


def test_a_body_beyond_the_limit_is_refused(make_world: Callable[..., World]) -> None:
    world = make_world(max_upload_bytes=10_000)
    assert_problem(predict(world, POINT, picture=b"x" * 9_000), 413, "request-too-large")


def test_json_of_very_many_tiny_values_is_refused_unread(world: World) -> None:
    body = b'{"model":"fake","image":"","params":{"marks":[' + b"[]," * 60_000 + b"[]]}}"
    answer = world.client.post(PREDICT, data=body)
    assert_problem(answer, 422, "invalid-prompt")
    assert "has more than" in answer.json["detail"]


def test_what_is_not_json_counts_as_one_prompt(make_world: Callable[..., World]) -> None:
    world = make_world(rate_limit_prompts="2/hour")
    assert [world.client.post(PREDICT, data=b"{").status_code for _ in range(3)] == [422, 422, 429]


def test_an_upload_slot_is_needed_and_given_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prompt_api.http.uploads.UPLOAD_TURN", 0.0)
    ready(world)
    held = 0
    while world.services.uploads.acquire(blocking=False):
        held += 1
    assert_problem(predict(world, POINT), 503, "overloaded")
    for _ in range(held):
        world.services.uploads.release()
    for _ in range(held + 1):
        assert shapes(predict(world, POINT))
        assert_problem(world.client.post(PREDICT, data=b"{"), 422, "invalid-prompt")


def test_a_page_of_another_origin_may_not_use_it(world: World) -> None:
    answer = world.client.post(PREDICT, json=asked(POINT), headers={"Origin": "https://elsewhere.example"})
    assert_problem(answer, 403, "foreign-origin")
