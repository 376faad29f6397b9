"""CVAT's function as nuclio runs it, with CVAT's requests, against the running service with a token."""

from __future__ import annotations

import base64
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml
from pycocotools import mask as coco

from deploy.cvat.main import NOTHING, counts_of, cropped, handler, init_context, prompt_of, shape_of
from deploy.local.stack import LocalStack
from prompt_api.access.grants import Grant, digest_of
from prompt_api.access.new_token import new_token
from prompt_api.access.scopes import Scope
from samcache import SamCache
from tests.support.masks_material import coco_decoded
from tests.support.world import large_png, png

FUNCTION = Path(__file__).parents[2] / "deploy" / "cvat" / "function.yaml"
PICTURE = png(120, 80)


class Context:
    """The context that nuclio passes to a function, as plain objects."""

    def __init__(self) -> None:
        self.user_data = SimpleNamespace()
        self.warnings: list[str] = []
        self.logger = SimpleNamespace(warn=self.warnings.append)

    @staticmethod
    def Response(**answer: Any) -> SimpleNamespace:  # noqa: N802 - nuclio's name
        return SimpleNamespace(**answer)


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[str, str]]:
    """(URL, token) of a service with the fake model, which needs no weights."""
    token = new_token()
    grant = Grant("cvat", frozenset(Scope), digest_of(token))
    with LocalStack({"SAM_MODEL": "fake", "SAM_TOKENS": grant.entry}) as stack:
        yield stack.url, token


@pytest.fixture
def context(service: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Context:
    url, token = service
    monkeypatch.setenv("SAM_CACHE_API", url)
    monkeypatch.setenv("SAM_CACHE_TOKEN", token)
    context = Context()
    init_context(context)
    return context


def asked(context: Context, picture: bytes = PICTURE, **prompt: Any) -> tuple[int, Any]:
    body = {"image": base64.b64encode(picture).decode(), "pos_points": [], "neg_points": [], "obj_bbox": [], **prompt}
    answer = handler(context, SimpleNamespace(body=body))
    assert (answer.content_type, answer.headers) == ("application/json", {})
    return answer.status_code, json.loads(answer.body)


def full_size(answer: dict[str, Any], height: int = 80, width: int = 120) -> np.ndarray:
    """Return the mask in the size of the frame, as CVAT pastes it."""
    left, top, right, bottom = answer["bounds"]
    mask = np.zeros((height, width), dtype=bool)
    mask[top : bottom + 1, left : right + 1] = np.array(answer["mask"], dtype=bool)
    return mask


def drawn(points: list[int], height: int = 80, width: int = 120) -> np.ndarray:
    """The mask of a shape as the page of 2026 draws it: runs within the bounds, background first."""
    *runs, left, top, right, bottom = points
    across = right - left + 1
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(bottom - top + 1, across)
    mask = np.zeros((height, width), dtype=bool)
    mask[top : bottom + 1, left : right + 1] = pixels
    return mask


@pytest.mark.parametrize(
    ("request_of_cvat", "prompt", "multimask"),
    [
        ({"pos_points": [[48, 30]]}, {"points": [[48, 30]], "labels": [1]}, True),
        ({"pos_points": [[48, 30]], "neg_points": [[5, 5]]}, {"points": [[48, 30], [5, 5]], "labels": [1, 0]}, False),
        ({"obj_bbox": [[70, 50], [20, 10]]}, {"box": [20, 10, 70, 50]}, False),
        ({"pos_points": [[48, 30]], "obj_bbox": None}, {"points": [[48, 30]], "labels": [1]}, True),
    ],
    ids=["a click", "a negative click", "a box drawn upwards", "as CVAT sends no box"],
)
def test_it_answers_with_the_mask_of_the_api(
    context: Context, service: tuple[str, str], request_of_cvat: dict[str, Any], prompt: dict[str, Any], multimask: bool
) -> None:
    status, answer = asked(context, **request_of_cvat)
    assert status == 200
    with SamCache(service[0], token=service[1]) as client:
        image = client.wait(client.upload(PICTURE).image_id)
        masks = client.masks(image.image_id, [prompt], multimask=multimask)
    best = max(masks.results[0], key=lambda mask: mask.score)
    assert best.area
    assert np.array_equal(full_size(answer), coco_decoded(best.payload))
    (shape,) = answer["shapes"]
    assert (shape["type"], shape["attributes"]) == ("mask", [])
    assert np.array_equal(drawn(shape["points"]), coco_decoded(best.payload))


def test_a_click_on_a_large_frame_is_answered_from_its_region(
    context: Context, service: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = large_png()
    click = {"points": [[640, 375]], "labels": [1]}
    with SamCache(service[0], token=service[1]) as client:
        image = client.wait(client.upload(frame).image_id)
        answers = {region: client.finest_masks(image.image_id, [click], region=region) for region in (None, "auto")}
        best = {region: max(answers[region].results[0], key=lambda mask: mask.score) for region in answers}
    assert answers["auto"].region is not None
    whole, finer = (coco_decoded(best[region].payload) for region in (None, "auto"))
    assert not np.array_equal(whole, finer)
    for above, expected in (("2048", whole), ("0", whole), ("1599", finer)):
        monkeypatch.setenv("SAM_CACHE_REGIONS_ABOVE", above)
        init_context(context)
        for _ in range(2):
            status, answer = asked(context, frame, pos_points=click["points"])
            assert status == 200
            np.testing.assert_array_equal(full_size(answer, 1000, 1600), expected)


def test_masks_are_cleaned_as_the_function_is_set(
    context: Context, service: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = {"fill_holes": 5000, "remove_specks": 5000, "keep": "clicked"}
    monkeypatch.setenv("SAM_CACHE_CLEAN", json.dumps(clean))
    init_context(context)
    status, answer = asked(context, pos_points=[[48, 30]])
    assert status == 200
    with SamCache(service[0], token=service[1]) as client:
        image = client.wait(client.upload(PICTURE).image_id)
        masks = client.masks(image.image_id, [{"points": [[48, 30]], "labels": [1]}], clean=clean)
    best = max(masks.results[0], key=lambda mask: mask.score)
    assert np.array_equal(full_size(answer), coco_decoded(best.payload))


def test_an_image_is_uploaded_once(context: Context, service: tuple[str, str]) -> None:
    picture = png(64, 48)
    first, second = (asked(context, picture, pos_points=[[24, 18]]) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("picture", [PICTURE, png(48, 64)])
@pytest.mark.parametrize("clicks", [[[48, 30]], [[5, 5], [40, 40]]])
def test_a_first_click_that_says_not_this_selects_nothing(
    context: Context, picture: bytes, clicks: list[list[int]]
) -> None:
    assert asked(context, picture, neg_points=clicks) == (200, NOTHING)


def test_a_click_that_says_not_this_counts_beside_a_box_or_a_point(context: Context) -> None:
    for prompt in ({"obj_bbox": [[20, 10], [70, 50]]}, {"pos_points": [[48, 30]]}):
        status, answer = asked(context, neg_points=[[100, 70]], **prompt)
        assert (status, full_size(answer).any()) == (200, True)


def test_an_empty_mask_is_nothing(context: Context) -> None:
    status, answer = asked(context, pos_points=[[48, 30]], obj_bbox=[[0, 0], [1, 1]])
    assert (status, answer) == (200, NOTHING)


def test_refusals_say_why(context: Context) -> None:
    assert asked(context)[0] == 422
    status, answer = asked(context, b"Dear annotator", pos_points=[[1, 1]])
    assert (status, answer["message"]) == (415, "the image is not a JPEG, PNG, WEBP, TIFF, BMP, AVIF or HEIC")
    assert asked(context, image="%")[0] == asked(context, pos_points=[[1]])[0] == 400
    assert len(context.warnings) == 4


def test_a_service_that_is_away_is_said_to_be(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAM_CACHE_API", "http://127.0.0.1:9")
    init_context(context)
    status, answer = asked(context, pos_points=[[1, 1]])
    assert (status, "does not answer" in answer["message"]) == (503, True)


def test_run_lengths_are_read_as_coco_reads_them() -> None:
    rng = np.random.default_rng(3)
    for density in (0.02, 0.5, 0.98):
        mask = np.kron(rng.random((9, 14)) < density, np.ones((7, 5), dtype=bool))
        rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        text = {"size": rle["size"], "counts": rle["counts"].decode()}
        assert sum(counts_of(text["counts"])) == mask.size
        height, width = mask.shape
        assert np.array_equal(np.array(cropped(text, [0, 0, width, height]), dtype=bool), coco_decoded(rle))


def test_a_shape_has_its_runs_row_by_row_with_background_first() -> None:
    assert shape_of([[1, 1], [1, 1]], [5, 6, 6, 7])["points"] == [0, 4, 5, 6, 6, 7]
    assert shape_of([[0, 1], [1, 0], [0, 0]], [0, 0, 1, 2])["points"] == [1, 2, 3, 0, 0, 1, 2]


def test_the_request_of_this_years_page_is_taken(context: Context) -> None:
    """It has more members, of which CVAT's server passes some on."""
    more = {"roi": [0, 0, 120, 80], "type": "interact", "mapping": {}, "extra_params": {}, "threshold": 0.5}
    status, answer = asked(context, pos_points=[[48, 30]], obj_bbox=[], **more)
    assert (status, len(answer["shapes"])) == (200, 1)


def test_points_keep_their_order_and_labels() -> None:
    assert prompt_of([[1, 2]], [[3, 4], [5, 6]], []) == {"points": [[1, 2], [3, 4], [5, 6]], "labels": [1, 0, 0]}


def test_the_definition_is_what_cvat_reads() -> None:
    function = yaml.safe_load(FUNCTION.read_text())
    annotations = function["metadata"]["annotations"]
    assert (annotations["type"], annotations["version"], annotations["spec"]) == ("interactor", 2, None)
    assert (annotations["min_pos_points"], annotations["min_neg_points"]) == (0, 0)
    assert annotations["startswith_box_optional"] is True
    assert function["spec"]["handler"] == "main:handler"
    assert {one["name"] for one in function["spec"]["env"]} == {
        "SAM_CACHE_API",
        "SAM_CACHE_TOKEN",
        "SAM_CACHE_MODEL",
        "SAM_CACHE_REGIONS_ABOVE",
        "SAM_CACHE_CLEAN",
    }


class Nuclio:
    """The function under nuclio's own SDK: its wrapper does the same with each request, without the processor."""

    def __init__(self) -> None:
        self.sdk = pytest.importorskip("nuclio_sdk", reason="nuclio-sdk is not installed")
        self.log = io.StringIO()
        logger = self.sdk.Logger(logging.DEBUG, name=f"nuclio-{id(self)}")
        logger.set_handler("default", self.log, self.sdk.logger.JSONFormatter())
        self.context = self.sdk.Context(logger, self.sdk.Platform("local"), worker_id=0)
        init_context(self.context)

    def answer(self, body: bytes, content_type: str = "application/json") -> tuple[int, str, Any]:
        """(status, content type, JSON) of the answer to a POST."""
        message = {
            b"body": body,
            b"content_type": content_type.encode(),
            b"trigger": {b"kind": b"http", b"name": b"myHttpTrigger"},
            b"fields": {},
            b"headers": {b"Content-Type": content_type.encode()},
            b"id": b"1",
            b"method": b"POST",
            b"path": b"/",
            b"size": len(body),
            b"timestamp": 1_790_000_000,
            b"url": b"http://127.0.0.1:8080/",
            b"shard_id": -1,
            b"num_shards": 0,
            b"type": b"",
            b"type_version": b"",
            b"version": b"",
        }
        event = self.sdk.Event.deserialize(message, kind=self.sdk.EventDeserializerKinds.msgpack_raw)
        encoder = self.sdk.json_encoder.Encoder()
        response = self.sdk.Response.from_entrypoint_output(encoder.encode, handler(self.context, event))
        sent = json.loads(encoder.encode(response))
        assert sent["body_encoding"] == "text"
        return sent["status_code"], sent["content_type"], json.loads(sent["body"])


@pytest.fixture
def nuclio(service: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Nuclio:
    monkeypatch.setenv("SAM_CACHE_API", service[0])
    monkeypatch.setenv("SAM_CACHE_TOKEN", service[1])
    return Nuclio()


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "text/plain"])
def test_it_runs_under_nuclios_sdk(nuclio: Nuclio, context: Context, content_type: str) -> None:
    request = {
        "image": base64.b64encode(PICTURE).decode(),
        "pos_points": [[48, 30]],
        "neg_points": [],
        "obj_bbox": None,
    }
    status, kind, answer = nuclio.answer(json.dumps(request).encode(), content_type)
    assert (status, kind) == (200, "application/json")
    assert answer == asked(context, pos_points=[[48, 30]])[1]


@pytest.mark.parametrize("body", [b"", b"Dear annotator", b"[]", b"null", b'"text"', b"{}", b"\xff", b"[" * 100_000])
def test_what_is_no_request_is_refused_under_nuclios_sdk(nuclio: Nuclio, body: bytes) -> None:
    status, kind, answer = nuclio.answer(body)
    assert (status, kind) == (400, "application/json")
    assert "not an interactor's request" in answer["message"]
    assert "no mask" in nuclio.log.getvalue()
