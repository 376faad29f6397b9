"""A prompt on a SAM 2 embedding that lies in a real cache, over HTTP: the masks are those of `SAM2ImagePredictor`."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image

from shared.contract.models import SAM2
from tests.support.masks_material import coco_decoded
from tests.support.sam2_recorded import Answered, Asked, read
from tests.support.sam2_service import MODEL, drawn_service

RECORD = read()
PHOTO = "portrait"


@pytest.fixture(scope="module")
def client(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlaskClient]:
    """Return a client of an API that serves `MODEL` only, and whose cache holds the embedding of `PHOTO`."""
    with drawn_service(valkey_url + "/7", tmp_path_factory.mktemp("weights"), RECORD) as service:
        service.put(uploaded(service.client), RECORD.images[PHOTO])
        yield service.client


def uploaded(client: FlaskClient) -> str:
    """Upload a picture of the size of `PHOTO`, and return its id."""
    height, width = RECORD.images[PHOTO].original
    file = BytesIO()
    Image.new("RGB", (width, height)).save(file, "PNG")
    return str(client.post("/v1/images", data=file.getvalue()).json["image_id"])


def recorded(*, mask: bool) -> list[tuple[Asked, Answered]]:
    return [
        (asked, answer)
        for asked, answer in RECORD.cases
        if asked.image == PHOTO and not asked.refines and (asked.mask is not None) is mask
    ]


def masks_of(client: FlaskClient, asked: Asked, **more: Any) -> list[dict[str, Any]]:
    prompt: dict[str, Any] = dict(asked.fields)
    if (mask := asked.mask_prompt()) is not None:
        prompt["mask_logits"] = base64.b64encode(mask.astype("<f2").tobytes()).decode("ascii")
    body = {"prompts": [prompt], "multimask": asked.multimask, **more}
    answer = client.post(f"/v1/images/{uploaded(client)}/masks", json=body)
    assert answer.status_code == 200, answer.text
    masks: list[dict[str, Any]] = answer.json["results"][0]["masks"]
    return masks


def test_masks_over_http_are_those_of_the_predictor(client: FlaskClient) -> None:
    for asked, answer in recorded(mask=False)[:6]:
        masks = masks_of(client, asked)
        np.testing.assert_allclose([mask["score"] for mask in masks], answer.scores, atol=1e-4)
        for mask, expected in zip(masks, answer.masks, strict=True):
            assert (coco_decoded(mask["rle"]) != expected).sum() <= 2


def test_a_mask_prompt_is_used(client: FlaskClient) -> None:
    """The prompt travels in float16, so the masks are only nearly those of the predictor."""
    asked, answer = recorded(mask=True)[0]
    masks = masks_of(client, asked)
    for mask, expected in zip(masks, answer.masks, strict=True):
        ours = coco_decoded(mask["rle"])
        assert (ours & expected).sum() / (ours | expected).sum() > 0.99


def test_logits_are_limited_and_a_mask_token_stands_for_them(client: FlaskClient) -> None:
    asked, _ = recorded(mask=False)[0]
    (mask, *_) = masks_of(client, asked, logits=True)
    logits = np.frombuffer(base64.b64decode(mask["logits"]), "<f2")
    assert np.abs(logits).max() <= 32
    by_token = masks_of(client, Asked(PHOTO, {"mask_token": mask["mask_token"]}, multimask=True))  # type: ignore[dict-item]
    by_logits = masks_of(client, Asked(PHOTO, {"mask_logits": mask["logits"]}, multimask=True))
    np.testing.assert_allclose([one["score"] for one in by_token], [one["score"] for one in by_logits], atol=1e-3)


def test_the_model_is_described(client: FlaskClient) -> None:
    (model,) = client.get("/v1/models").json["models"]
    assert (model["name"], model["architecture"]) == (MODEL.name, "sam2")
    assert model["frame"] == {"name": "squash", "side": 1024}
    assert {tensor["name"]: tensor["shape"] for tensor in model["tensors"]} == {
        spec.name: list(spec.shape) for spec in SAM2.tensors
    }


def test_browsers_cannot_decode_and_there_is_no_export_of_segment_anything_s_form(client: FlaskClient) -> None:
    assert client.get(f"/v1/models/{MODEL.name}/decoder").json["status"] == "unavailable"
    assert client.get(f"/v1/models/{MODEL.name}/decoder.onnx?form=meta").status_code == 404
    with client.get(f"/v1/models/{MODEL.name}/decoder.onnx") as graph:
        assert graph.status_code == 200


def test_the_embedding_is_a_file_of_three_arrays(client: FlaskClient) -> None:
    answer = client.get(f"/v1/images/{uploaded(client)}/embedding?model={MODEL.name}")
    with np.load(BytesIO(answer.data)) as file:
        assert {name: file[name].shape for name in file} == {spec.name: spec.shape for spec in SAM2.tensors}
