"""SAM 2.1 tiny in the whole service: its masks are those of transformers' own model, and the API never sees torch."""

from __future__ import annotations

import io
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco

from deploy.local.process import Child, ProcessGroup, stop_all
from encoder_worker.backends.on_torch.staging import Staging
from encoder_worker.backends.sam2.network import empty_model
from shared.contract.models import SAM2, SAM2_1_TINY
from tests.support.small_sam2 import by_transformers_names, meta_shapes, random_weights
from tests.torch.test_service import API_WITHOUT_TORCH, BOUND

NAME = SAM2_1_TINY.name


@dataclass(frozen=True, slots=True)
class Service:
    """A running API and worker, and the photo that was uploaded."""

    client: httpx.Client
    image_id: str
    rgb: NDArray[np.uint8]

    def masks(self, **request: Any) -> list[dict[str, Any]]:
        answer = self.client.post(f"/v1/images/{self.image_id}/masks", json=request)
        masks: list[dict[str, Any]] = answer.raise_for_status().json()["results"][0]["masks"]
        return masks


@pytest.fixture(scope="module")
def weights_of_tiny() -> dict[str, NDArray[Any]]:
    return random_weights(meta_shapes(NAME))


@pytest.fixture(scope="module")
def service(
    weights_of_tiny: dict[str, NDArray[Any]], valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("sam2")
    torch.save({"model": {name: torch.from_numpy(array) for name, array in weights_of_tiny.items()}}, folder / "own.pt")
    jpeg = io.BytesIO()
    Image.fromarray(skimage.data.coffee()).save(jpeg, "JPEG")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SAM_")}
    environ |= {"PYTHONUNBUFFERED": "1", "SAM_CACHE_URL": f"{valkey_url}/12", "SAM_WEIGHTS_DIR": str(folder / "cache")}
    environ |= {"SAM_EMBEDDING_DTYPE": "float32", "SAM_JOB_TIMEOUT": str(int(BOUND)), "SAM_MODEL": NAME}
    worker_only = {"SAM_WEIGHTS_PATH": str(folder / "own.pt"), "SAM_DEVICE": "cpu", "SAM_ENCODER_THREADS": "1"}
    with ExitStack() as stack:
        group = ProcessGroup()
        stack.callback(group.close)

        def start(name: str, environ: dict[str, str], *arguments: str) -> Child:
            child = Child(name, [sys.executable, *arguments], environ=environ, group=group, sink=lambda _: None)
            stack.callback(child.finish_reading)
            stack.callback(stop_all, [child])
            return child

        deadline = time.monotonic() + BOUND
        worker = start("worker", environ | worker_only, "-m", "encoder_worker")
        worker.wait_for_line(re.compile(r"\bready:"), deadline)
        api = start("api", environ | {"SAM_PORT": "0"}, "-c", API_WITHOUT_TORCH)
        url = api.wait_for_line(re.compile(r"http://\S+"), deadline).group()
        with httpx.Client(base_url=url, timeout=BOUND) as client:
            answer = client.post("/v1/images", params={"wait": "30"}, content=jpeg.getvalue())
            while answer.raise_for_status().json()["status"] not in ("ready", "failed"):
                assert time.monotonic() < deadline, worker.tail()
                answer = client.get(answer.json()["links"]["self"], params={"wait": "30"})
            assert answer.json()["status"] == "ready", answer.text
            yield Service(client, answer.json()["image_id"], np.asarray(Image.open(jpeg)))


@pytest.fixture(scope="module")
def reference(weights_of_tiny: dict[str, NDArray[Any]], service: Service) -> tuple[Any, Any]:
    """Return transformers' own model, and its features of the photo."""
    model = empty_model(NAME)
    state = by_transformers_names(NAME, weights_of_tiny)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()}, assign=True)
    frames = Staging(SAM2_1_TINY, torch.device("cpu"), 1).frames([SAM2.frame.resize(service.rgb)])
    return model, model.get_image_embeddings(frames)


@pytest.mark.parametrize("multimask", [True, False])
def test_a_prompt_is_answered_with_the_masks_of_transformers(
    multimask: bool, service: Service, reference: tuple[Any, Any]
) -> None:
    model, features = reference
    height, width = service.rgb.shape[:2]
    points = [[300.0, 200.0], [100.0, 350.0]]
    in_frame = torch.tensor([[[[x * 1024 / width, y * 1024 / height] for x, y in points]]])
    with torch.inference_mode():
        theirs = model(
            image_embeddings=features,
            input_points=in_frame,
            input_labels=torch.tensor([[[1, 0]]]),
            multimask_output=multimask,
        )
        size = (height, width)
        logits = torch.nn.functional.interpolate(theirs.pred_masks[0], size, mode="bilinear", align_corners=False)[0]
    masks = service.masks(prompts=[{"points": points, "labels": [1, 0]}], multimask=multimask)
    assert len(masks) == (3 if multimask else 1)
    assert [mask["score"] for mask in masks] == pytest.approx(theirs.iou_scores[0, 0].tolist(), abs=1e-3)
    for mask, expected in zip(masks, logits.numpy(), strict=True):
        ours = coco.decode({**mask["rle"], "counts": mask["rle"]["counts"].encode()}).astype(bool)
        differing = ours != (expected > 0)
        assert 0.01 < float(ours.mean()) < 0.99
        assert not (differing & (np.abs(expected) > 1e-2)).any()
        assert float(differing.mean()) < 1e-3


def test_the_model_says_its_three_tensors(service: Service) -> None:
    described = service.client.get(f"/v1/models/{NAME}").json()
    assert (described["architecture"], described["frame"]) == ("sam2", {"name": "squash", "side": 1024})
    assert [tuple(tensor["shape"]) for tensor in described["tensors"]] == [spec.shape for spec in SAM2.tensors]
    assert {tensor["stored_as"] for tensor in described["tensors"]} == {"float32"}
