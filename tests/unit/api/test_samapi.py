"""samapi's protocol on in-memory stand-ins: what QuPath's SAM extension sends, what it gets, what it costs."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco
from werkzeug.test import TestResponse

from prompt_api.access.grants import Grant, digest_of
from prompt_api.access.new_token import new_token
from prompt_api.access.scopes import Scope
from prompt_api.integrations import carried_images
from prompt_api.integrations.samapi.models import OFFICIAL, OWN, SamModels
from prompt_api.integrations.samapi.wire import MAX_SENT_POINTS, SamType
from shared.contract.errors import ModelNotFound
from shared.contract.models import FAKE, MOBILE_SAM, VIT_B
from tests.support.carried import named, recorded
from tests.support.filled import filled
from tests.support.world import OTHER, World, png
from tests.unit.api.test_problems import assert_problem

RECORDING = recorded("qupath/recorded-0.9.1.json")
SAM = "/samapi/sam/"
PICTURE = png()
IMAGE_ID = hashlib.sha256(PICTURE).hexdigest()
FAKES = "sam-embedding-cache:fake"
BOX: dict[str, Any] = {"bbox": [24, 16, 72, 48]}
POINT: dict[str, Any] = {"point_coords": [[48, 30]], "point_labels": [1]}
ANNA, BERT = new_token(), new_token()
TOKENS = ",".join(
    Grant(name, frozenset(Scope), digest_of(token)).entry for name, token in (("anna", ANNA), ("bert", BERT))
)


def asked(picture: bytes = PICTURE, **more: Any) -> dict[str, Any]:
    return {"type": "vit_b", "b64img": base64.b64encode(picture).decode(), "checkpoint_url": FAKES, **more}


def predict(world: World, path: str = SAM, **more: Any) -> TestResponse:
    return world.client.post(path, json=asked(**more), buffered=True)


def features(answer: TestResponse) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return list(answer.json)


def ready(world: World) -> World:
    world.ready_image(PICTURE)
    return world


def test_what_qupath_sent_is_answered_as_it_was(world: World) -> None:
    world.ready_image(base64.b64decode(json.loads(named(RECORDING, "a box")["body"])["b64img"]))
    for case in RECORDING["cases"]:
        must_be_answered(world, case)
    assert len(world.encodes) == 1


def must_be_answered(world: World, case: dict[str, Any]) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8", "accept": "application/json"}
    answer = world.client.open(SAM + case["path"], method=case["method"], data=case.get("body"), headers=headers)
    assert answer.status_code == case["status"]
    found = answer.json
    if isinstance(found, dict):
        found = {name: value for name, value in found.items() if value is not None}  # gson leaves out nulls
    assert found == case["answer"]
    for feature, geometry in zip(answer.json, case.get("geometries", []), strict=False):
        # JTS, QuPath's geometry library, found it valid, and its area is the mask's.
        assert geometry["valid"] is True
        assert geometry["type"] == feature["geometry"]["type"]


def test_the_masks_are_those_of_the_services_own_route(world: World) -> None:
    ready(world)
    for sent, prompt in (
        (BOX, {"box": [24, 16, 72, 48]}),
        (POINT, {"points": [[48, 30]], "labels": [1]}),
        (BOX | POINT, {"box": [24, 16, 72, 48], "points": [[48, 30]], "labels": [1]}),
        (
            {"point_coords": [[108, 72], [48, 30]], "point_labels": [0, 1]},
            {"points": [[108, 72], [48, 30]], "labels": [0, 1]},
        ),
    ):
        for multimask in (True, False):
            found = features(predict(world, **sent, multimask_output=multimask))
            body = {"prompts": [prompt], "multimask": multimask}
            masks = world.client.post(f"/v1/images/{IMAGE_ID}/masks", json=body).json["results"][0]["masks"]
            assert len(found) == len(masks) == (3 if multimask else 1)
            for feature, mask in zip(found, masks, strict=True):
                expected = coco.decode(mask["rle"]).astype(bool)
                assert expected.any()
                assert np.array_equal(filled(feature["geometry"], expected.shape), expected)
                assert feature["properties"] == {"label": "object", "quality": mask["score"], "sam_model": "fake"}


def test_an_empty_mask_has_no_feature(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(world)
    monkeypatch.setattr("prompt_api.integrations.samapi.server.geometry", lambda runs, tolerance: None)
    assert features(predict(world, **BOX)) == []


def test_an_image_is_stored_and_encoded_once_however_often_it_is_carried(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carried_images, "PATIENCE", 0.0)
    world = make_world(rate_limit_uploads="1/hour")
    answer = predict(world, **BOX)
    assert_problem(answer, 503, "overloaded")  # QuPath's HTTP client tries once more by itself after 503
    assert answer.headers["Retry-After"] == "2"
    world.encode_next()
    for _ in range(3):
        assert features(predict(world, **BOX))
    assert len(world.encodes) == 1
    assert_problem(predict(world, picture=png(60, 40), **BOX), 429, "rate-limited")


def test_prompts_are_counted(make_world: Callable[..., World]) -> None:
    world = ready(make_world(rate_limit_prompts="2/hour"))
    statuses = [predict(world, **BOX).status_code, world.client.post(SAM, data=b"{").status_code]
    assert [*statuses, predict(world, **BOX).status_code] == [200, 422, 429]


def test_the_address_may_end_without_a_slash(world: World) -> None:
    assert features(predict(ready(world), "/samapi/sam", **BOX))
    assert world.client.get("/samapi/sam/version").text == "0.7.1"


def test_a_token_may_stand_in_the_path_and_is_never_logged(
    make_world: Callable[..., World], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = make_world(tokens=TOKENS)
    at = f"/samapi/with-token/{ANNA}/sam"
    assert_problem(predict(world, **BOX), 401, "unauthorized")
    assert_problem(predict(world, f"/samapi/with-token/{ANNA}x/sam/", **BOX), 401, "unauthorized")
    assert [one["name"] for one in world.client.get(f"{at}/weights/?type=vit_b").json] == ["fake", "other"]
    world.client.post("/v1/images", data=PICTURE, headers={"Authorization": f"Bearer {ANNA}"})
    world.encode_next()
    for path in (at, f"{at}/", at.replace("/with", "//with")):
        assert features(predict(world, path, **BOX))
    assert_problem(world.client.get(f"{at}/nothing-here", buffered=True), 404, "not-found")
    assert_problem(world.client.get(f"/samapi//with-token//{ANNA}/nothing", buffered=True), 404, "not-found")
    assert_problem(world.client.get(f"/v1/with-token/{ANNA}/models", buffered=True), 404, "not-found")
    lines = [line for line in caplog.text.splitlines() if "/v1/with-token" not in line]
    assert any("/samapi/sam/" in line for line in lines)
    assert ANNA not in "\n".join(lines)


def test_a_token_in_the_header_comes_first(make_world: Callable[..., World]) -> None:
    world = make_world(tokens=TOKENS)
    path, weights = f"/samapi/with-token/{ANNA}/sam/", "weights/?type=vit_b"
    assert world.client.get(path + weights).status_code == 200
    answer = world.client.get(path + weights, headers={"Authorization": "Bearer nobody"})
    assert_problem(answer, 401, "unauthorized")
    plain = world.client.get(SAM + weights, headers={"Authorization": f"Bearer {BERT}"})
    assert plain.status_code == 200


def test_namespaces_do_not_see_each_others_images(make_world: Callable[..., World]) -> None:
    world = make_world(tokens=TOKENS)
    world.client.post("/v1/images", data=PICTURE, headers={"Authorization": f"Bearer {ANNA}"})
    world.encode_next()
    assert features(predict(world, f"/samapi/with-token/{ANNA}/sam/", **BOX))
    url, bert = f"/v1/images/{IMAGE_ID}", {"Authorization": f"Bearer {BERT}"}
    assert_problem(world.client.get(url, headers=bert), 404, "image-not-found")
    assert features(predict(world, f"/samapi/with-token/{BERT}/sam/", **BOX))  # who carries the bytes has them
    assert world.client.get(url, headers=bert).status_code == 200


def test_of_very_many_points_some_are_used(world: World) -> None:
    ready(world)
    angles = np.linspace(0, 2 * np.pi, 500, endpoint=False)
    drawn = np.stack([45 + 10 * np.cos(angles), 30 + 8 * np.sin(angles)], axis=1).astype(int).tolist()
    assert features(predict(world, point_coords=[[108, 72], *drawn], point_labels=[0, *[1] * 500]))
    assert_problem(predict(world, point_coords=drawn[:65], point_labels=[1] * 64), 422, "invalid-prompt")
    too_many = [[1, 1]] * (MAX_SENT_POINTS + 1)
    assert_problem(predict(world, point_coords=too_many, point_labels=[1] * len(too_many)), 422, "invalid-prompt")


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({}, 422, "invalid-prompt"),
    ({"point_coords": [], "point_labels": []}, 422, "invalid-prompt"),
    ({"bbox": [5, 5, 5, 9]}, 422, "invalid-prompt"),
    ({"bbox": [1, 2, 3]}, 422, "invalid-prompt"),
    ({"bbox": [1.5, 2, 3, 4]}, 422, "invalid-prompt"),
    ({"bbox": [1, 2, 10**30, 4]}, 422, "invalid-prompt"),
    ({"bbox": [1, 2, 10**6, 4]}, 422, "invalid-prompt"),
    ({**POINT, "point_labels": [7]}, 422, "invalid-prompt"),
    ({**BOX, "b64mask": "AAAA"}, 422, "invalid-prompt"),
    ({**BOX, "type": "vit_x"}, 422, "invalid-prompt"),
    ({**BOX, "b64img": ""}, 422, "invalid-image"),
    ({**BOX, "b64img": "A"}, 422, "invalid-image"),
    ({**BOX, "b64img": "AAAA"}, 415, "unsupported-image"),
    ({**BOX, "b64img": None}, 422, "invalid-prompt"),
    ({**BOX, "checkpoint_url": "https://example.org/cells.pth"}, 404, "model-not-found"),
    ({**BOX, "checkpoint_url": "sam-embedding-cache:nope"}, 404, "model-not-found"),
    ({**BOX, "checkpoint_url": None}, 404, "model-not-found"),
    ({**BOX, "checkpoint_url": OFFICIAL[SamType.VIT_H]}, 404, "model-not-found"),
]


def test_bad_requests_are_refused_in_words(world: World) -> None:
    ready(world)
    for sent, status, code in BAD:
        assert_problem(predict(world, **sent), status, code)


def test_numbers_may_be_written_as_samapi_reads_them(world: World) -> None:
    ready(world)
    assert features(predict(world, bbox=[24.0, "16", 72, 48])) == features(predict(world, **BOX))


def test_a_body_beyond_the_limit_is_refused(make_world: Callable[..., World]) -> None:
    world = make_world(max_upload_bytes=10_000)
    assert_problem(predict(world, picture=b"x" * 9_000, **BOX), 413, "request-too-large")


def test_what_samapi_has_and_this_service_does_not_is_said(world: World) -> None:
    for path in ("automask", "sam3", "upload", "video", "sam3video", "weights"):
        assert_problem(world.client.post(f"{SAM}{path}/", json={"anything": 1}), 404, "not-served")


def test_nothing_is_ever_downloaded(world: World) -> None:
    assert world.client.get(f"{SAM}progress/").json == {"message": None, "percent": -1}
    assert world.client.get(f"{SAM}weights/cancel/").text == "There is no download to cancel."
    assert_problem(world.client.get(f"{SAM}weights/?type=vit_x"), 422, "invalid-parameter")


def test_every_type_offers_every_model_and_its_own_first() -> None:
    served = SamModels({model.name: model for model in (FAKE, VIT_B, MOBILE_SAM)})
    assert [one["name"] for one in served.weights(SamType.VIT_B)] == ["vit_b", "fake", "mobile_sam"]
    assert [one["name"] for one in served.weights(SamType.VIT_T)] == ["mobile_sam", "fake", "vit_b"]
    assert [one["name"] for one in served.weights(SamType.SAM3)] == ["fake", "vit_b", "mobile_sam"]
    assert len(served.weights(None)) == 3 * len(SamType)
    for kind in SamType:
        for one in served.weights(kind):
            assert one["type"] == kind
            assert served.find(kind, one["url"]).name == one["name"]


def test_the_checkpoint_decides_then_the_type_then_the_default() -> None:
    served = SamModels({model.name: model for model in (OTHER, VIT_B, MOBILE_SAM)})
    assert served.find(SamType.VIT_T, "sam-embedding-cache:vit_b") is VIT_B
    assert served.find(SamType.VIT_T, OFFICIAL[SamType.VIT_T]) is MOBILE_SAM
    assert served.find(SamType.VIT_B, None) is served.find(SamType.VIT_B, "") is VIT_B
    assert served.find(None, None) is OTHER
    assert VIT_B.checkpoint is not None
    assert OFFICIAL[SamType.VIT_B] == VIT_B.checkpoint.url
    for kind, url in ((SamType.VIT_T, OFFICIAL[SamType.VIT_B]), (None, OFFICIAL[SamType.VIT_B]), (SamType.SAM3, None)):
        with pytest.raises(ModelNotFound, match="vit_b"):
            served.find(kind, url)
    assert set(OWN) == set(OFFICIAL) == set(SamType) - {SamType.SAM3}
