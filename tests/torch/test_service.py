"""ViT-B and MobileSAM in the whole service: one worker uses torch, and the API never does."""

from __future__ import annotations

import io
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco
from segment_anything import SamPredictor

from deploy.local.process import Child, ProcessGroup, stop_all
from shared.contract.keys import EmbeddingKey
from shared.contract.models import MOBILE_SAM, SAM1, VIT_B, Model
from shared.redis.connections import request_client
from shared.store.redis_store import RedisStore
from shared.tensors.embedding import decode_embedding

BOUND = 600.0
"""Seconds after which a test gives up; nothing asserted depends on it."""
API_WITHOUT_TORCH = """
import sys
sys.modules.update(dict.fromkeys(("torch", "torchvision", "segment_anything")))
from prompt_api.__main__ import main
sys.exit(main())
"""
"""A module that is None in `sys.modules` cannot be imported, even if it is installed."""


@dataclass(frozen=True, slots=True)
class Service:
    """A running API that serves both models, and the photo that was uploaded to both."""

    client: httpx.Client
    store: RedisStore
    image_id: str

    def embedding(self, model: Model) -> NDArray[np.float32]:
        key = EmbeddingKey.of(self.image_id, model)
        value = self.store.get(key.redis_key)
        assert value is not None
        return decode_embedding(value, key, SAM1.tensors).tensors["embedding"]

    def masks(self, model: Model, **request: Any) -> list[dict[str, Any]]:
        answer = self.client.post(f"/v1/images/{self.image_id}/masks", params={"model": model.name}, json=request)
        masks: list[dict[str, Any]] = answer.raise_for_status().json()["results"][0]["masks"]
        return masks


@pytest.fixture(scope="module")
def jpeg() -> bytes:
    import skimage.data

    buffer = io.BytesIO()
    Image.fromarray(skimage.data.coffee()).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def service(
    checkpoint: Path, weights: Path, valkey_url: str, jpeg: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    cache = tmp_path_factory.mktemp("weights")
    for fetched in weights.parent.iterdir():  # MobileSAM's, and what browsers decode with: nothing is fetched again
        (cache / fetched.name).symlink_to(fetched)
    shared = {name: value for name, value in os.environ.items() if not name.startswith("SAM_")}
    shared |= {"PYTHONUNBUFFERED": "1", "SAM_CACHE_URL": f"{valkey_url}/11", "SAM_WEIGHTS_DIR": str(cache)}
    shared |= {"SAM_EMBEDDING_DTYPE": "float32", "SAM_JOB_TIMEOUT": str(int(BOUND))}
    vit_b = shared | {"SAM_MODEL": VIT_B.name, "SAM_WEIGHTS_PATH": str(checkpoint), "SAM_DEVICE": "cpu"}
    vit_b |= {"SAM_ENCODER_THREADS": "1"}  # other tests run at the same time
    api = shared | {"SAM_MODEL": MOBILE_SAM.name, "SAM_MODELS": VIT_B.name, "SAM_PORT": "0"}
    with ExitStack() as stack:
        group = ProcessGroup()
        stack.callback(group.close)

        def start(name: str, environ: dict[str, str], *arguments: str) -> Child:
            child = Child(name, [sys.executable, *arguments], environ=environ, group=group, sink=lambda _: None)
            stack.callback(child.finish_reading)
            stack.callback(stop_all, [child])
            return child

        deadline = time.monotonic() + BOUND
        start("worker of mobile_sam", shared, "-m", "encoder_worker")
        worker = start("worker of vit_b", vit_b, "-m", "encoder_worker")
        worker.wait_for_line(re.compile(r"\bready:"), deadline)
        api_process = start("api", api, "-c", API_WITHOUT_TORCH)
        url = api_process.wait_for_line(re.compile(r"http://\S+"), deadline).group()
        with httpx.Client(base_url=url, timeout=BOUND) as client:
            for model in (VIT_B, MOBILE_SAM):
                answer = client.post("/v1/images", params={"model": model.name, "wait": "30"}, content=jpeg)
                while answer.raise_for_status().json()["status"] not in ("ready", "failed"):
                    assert time.monotonic() < deadline, worker.tail()
                    answer = client.get(answer.json()["links"]["self"], params={"model": model.name, "wait": "30"})
                assert answer.json()["status"] == "ready", answer.text
            store = RedisStore(stack.enter_context(request_client(f"{valkey_url}/11", timeout=5)))
            yield Service(client, store, answer.json()["image_id"])


@pytest.fixture(scope="module")
def predictor(sam: Any, jpeg: bytes) -> Any:
    """Return segment_anything's own predictor, with the photo set."""
    predictor = SamPredictor(sam)
    predictor.set_image(np.asarray(Image.open(io.BytesIO(jpeg))))
    return predictor


def test_the_embedding_of_vit_b_is_that_of_sam_predictor(service: Service, predictor: Any, random_vit_b: Model) -> None:
    expected = predictor.get_image_embedding().numpy()
    assert float(np.abs(expected).max()) > 1
    np.testing.assert_allclose(service.embedding(random_vit_b), expected, atol=1e-3, rtol=0)


def test_a_prompt_is_answered_with_the_masks_of_vit_b(service: Service, predictor: Any) -> None:
    expected, scores, _ = predictor.predict(np.array([[300.0, 200.0]]), np.array([1]))
    masks = service.masks(VIT_B, prompts=[{"points": [[300, 200]], "labels": [1]}])
    assert [mask["score"] for mask in masks] == pytest.approx(scores, abs=1e-2)
    for mask, theirs in zip(masks, expected, strict=True):
        ours = coco.decode({**mask["rle"], "counts": mask["rle"]["counts"].encode()}).astype(bool)
        union = np.logical_or(ours, theirs).sum()
        assert union == 0 or np.logical_and(ours, theirs).sum() / union > 0.99


def test_two_models_at_once_never_mix(service: Service, random_vit_b: Model) -> None:
    listed = {model["name"]: model["weights_digest"] for model in service.client.get("/v1/models").json()["models"]}
    assert listed == {MOBILE_SAM.name: MOBILE_SAM.weights_digest, VIT_B.name: random_vit_b.weights_digest}
    ours, theirs = service.embedding(random_vit_b), service.embedding(MOBILE_SAM)
    assert float(np.abs(ours - theirs).mean()) > 0.01
    prompts = [{"points": [[300, 200]], "labels": [1]}]
    token = service.masks(VIT_B, prompts=prompts)[0]["mask_token"]
    foreign = service.client.post(
        f"/v1/images/{service.image_id}/masks",
        params={"model": MOBILE_SAM.name},
        json={"prompts": [{**prompts[0], "mask_token": token}]},
    )
    assert (foreign.status_code, foreign.json()["code"]) == (422, "invalid-prompt")
