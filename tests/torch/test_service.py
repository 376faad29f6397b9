"""Several models in one service on one Redis: MobileSAM, two checkpoints of ViT-B, and SAM 2.1 tiny.

One of the checkpoints is of the catalogue. Each worker serves one model. MobileSAM's and the API do without torch.
"""

from __future__ import annotations

import hashlib
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
import torch
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco
from segment_anything import SamPredictor

from deploy.local.process import Child, ProcessGroup, stop_all
from encoder_worker.backends.on_torch.staging import Staging
from encoder_worker.backends.onnx.preprocess import normalise_and_pad
from encoder_worker.backends.sam1.checkpoint_file import empty_sam
from encoder_worker.backends.sam2.network import empty_model
from prompt_api.models.sam1.weights import read_export
from shared.contract.keys import EmbeddingKey
from shared.contract.models import MOBILE_SAM, SAM1, SAM2, SAM2_1_TINY, VIT_B, Model
from shared.redis.connections import request_client
from shared.store.redis_store import RedisStore
from shared.tensors.embedding import decode_embedding
from shared.weights.entry_files import identified
from tests.support.catalogue import catalogue_model, write_catalogue, write_safetensors
from tests.support.onnx import session as session_of
from tests.support.reference import Click, Reference
from tests.support.sample_images import png
from tests.support.small_sam2 import by_transformers_names, meta_shapes, random_weights

BOUND = 600.0
"""Seconds after which a test gives up; nothing asserted depends on it."""
API_WITHOUT_TORCH = """
import sys
sys.modules.update(dict.fromkeys(("torch", "torchvision", "segment_anything")))
from prompt_api.__main__ import main
sys.exit(main())
"""
"""A module that is None in `sys.modules` cannot be imported, even if it is installed."""

POINT = [300, 200]
PROMPTS = [{"points": [POINT], "labels": [1]}]


@dataclass(frozen=True, slots=True)
class Service:
    """A running API that serves all models, their workers by name, and the photo that was uploaded to all."""

    client: httpx.Client
    store: RedisStore
    image_id: str
    workers: dict[str, Child]

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
def rgb() -> NDArray[np.uint8]:
    """Return a photo of low contrast, so that stretching its channels matters."""
    import skimage.data

    return np.asarray(skimage.data.coffee() // 2 + 40)


@pytest.fixture(scope="module")
def cells_sam(sam: Any) -> Any:
    """Return a second ViT-B of segment_anything: the weights of the first, in another order."""
    state = {name: tensor.flip(0) if tensor.ndim > 1 else tensor for name, tensor in sam.state_dict().items()}
    other = empty_sam("vit_b")
    other.load_state_dict(state, assign=True)
    for module in other.modules():  # buffers that are in no state dict have no memory yet
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta:
                module.register_buffer(name, getattr(sam, name).clone(), persistent=False)
    return other.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def catalogue(cells_sam: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue")
    arrays = {f"sam.{name}": tensor.numpy() for name, tensor in cells_sam.state_dict().items()}
    write_safetensors(folder / "cells.safetensors", arrays)
    return write_catalogue(
        folder, **{"cells.v2": {"architecture": "vit_b", "weights": "cells.safetensors", "pixels": "minmax"}}
    )


@pytest.fixture(scope="module")
def cells(catalogue: Path) -> Model:
    return identified(catalogue_model("cells.v2", catalogue))


@pytest.fixture(scope="module")
def weights_of_tiny() -> dict[str, NDArray[Any]]:
    return random_weights(meta_shapes(SAM2_1_TINY.name))


@pytest.fixture(scope="module")
def checkpoint_of_tiny(weights_of_tiny: dict[str, NDArray[Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a checkpoint of SAM 2.1 tiny in Meta's format."""
    path = tmp_path_factory.mktemp("sam2") / "own.pt"
    torch.save({"model": {name: torch.from_numpy(array) for name, array in weights_of_tiny.items()}}, path)
    return path


@pytest.fixture(scope="module")
def own_environs(checkpoint: Path, catalogue: Path, checkpoint_of_tiny: Path) -> dict[str, dict[str, str]]:
    """Return what the worker of each model has in its environment, the default model first."""
    shared = {"SAM_CATALOGUE": str(catalogue)}
    return {
        MOBILE_SAM.name: shared,
        VIT_B.name: shared | {"SAM_WEIGHTS_PATH": str(checkpoint)},
        "cells.v2": shared,
        SAM2_1_TINY.name: shared | {"SAM_WEIGHTS_PATH": str(checkpoint_of_tiny)},
    }


@pytest.fixture(scope="module")
def service(
    own_environs: dict[str, dict[str, str]],
    weights: Path,
    valkey_url: str,
    rgb: NDArray[np.uint8],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    cache = tmp_path_factory.mktemp("weights")
    for fetched in weights.parent.iterdir():  # MobileSAM's, and what browsers decode with: nothing is fetched again
        (cache / fetched.name).symlink_to(fetched)
    shared = {name: value for name, value in os.environ.items() if not name.startswith("SAM_")}
    shared |= {"PYTHONUNBUFFERED": "1", "SAM_CACHE_URL": f"{valkey_url}/11", "SAM_WEIGHTS_DIR": str(cache)}
    shared |= {"SAM_EMBEDDING_DTYPE": "float32", "SAM_JOB_TIMEOUT": str(int(BOUND))}
    # Other tests run at the same time.
    shared |= {"SAM_DEVICE": "cpu", "SAM_ENCODER_THREADS": "1"}
    names = list(own_environs)
    with ExitStack() as stack:
        group = ProcessGroup()
        stack.callback(group.close)

        def start(name: str, environ: dict[str, str], *arguments: str) -> Child:
            child = Child(name, [sys.executable, *arguments], environ=environ, group=group, sink=lambda _: None)
            stack.callback(child.finish_reading)
            stack.callback(stop_all, [child])
            return child

        deadline = time.monotonic() + BOUND
        workers = {
            name: start(f"worker of {name}", shared | {"SAM_MODEL": name} | environ, "-m", "encoder_worker")
            for name, environ in own_environs.items()
        }
        for name in (VIT_B.name, SAM2_1_TINY.name):
            workers[name].wait_for_line(re.compile(r"\bready:"), deadline)  # it has written its decoder then
        api = (
            shared
            | own_environs[names[0]]
            | {"SAM_MODEL": names[0], "SAM_MODELS": ",".join(names[1:]), "SAM_PORT": "0"}
        )
        api_process = start("api", api, "-c", API_WITHOUT_TORCH)
        url = api_process.wait_for_line(re.compile(r"http://\S+"), deadline).group()
        with httpx.Client(base_url=url, timeout=BOUND) as client:
            for name in reversed(names):
                image_id = upload_until_ready(client, name, png_of(rgb), deadline, workers[name])
            store = RedisStore(stack.enter_context(request_client(f"{valkey_url}/11", timeout=5)))
            yield Service(client, store, image_id, workers)


def png_of(rgb: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    return buffer.getvalue()


def upload_until_ready(client: httpx.Client, model: str, data: bytes, deadline: float, worker: Child) -> str:
    """Upload an image and return its id once its embedding of that model is there."""
    answer = client.post("/v1/images", params={"model": model, "wait": "30"}, content=data)
    while answer.raise_for_status().json()["status"] not in ("ready", "failed"):
        assert time.monotonic() < deadline, worker.tail()
        answer = client.get(answer.json()["links"]["self"], params={"model": model, "wait": "30"})
    assert answer.json()["status"] == "ready", answer.text
    return str(answer.json()["image_id"])


def degraded(answer: httpx.Response) -> list[str]:
    """What `/readyz` names, but for mask workers: there are none here."""
    return [name for name in answer.json()["degraded"] if not name.startswith("mask workers")]


@pytest.fixture(scope="module")
def without_cells(service: Service, cells: Model) -> None:
    """Kill the worker of one model."""
    assert degraded(service.client.get("/readyz")) == []
    service.workers[cells.name].kill()


@pytest.mark.usefixtures("without_cells")
def test_without_the_worker_of_one_model_the_others_are_served(service: Service, cells: Model) -> None:
    new = png(60, 40)
    waiting = service.client.post("/v1/images", params={"model": cells.name}, content=new)
    assert (waiting.status_code, waiting.json()["status"]) == (202, "queued")
    deadline = time.monotonic() + BOUND
    upload_until_ready(service.client, MOBILE_SAM.name, new, deadline, service.workers[MOBILE_SAM.name])
    for model in (MOBILE_SAM, VIT_B, cells, SAM2_1_TINY):  # what is encoded needs no worker
        assert len(service.masks(model, prompts=PROMPTS)) == 3
    still = service.client.get(waiting.json()["links"]["self"])
    assert still.json()["status"] == "queued"


@pytest.fixture(scope="module")
def predictor(sam: Any, rgb: NDArray[np.uint8]) -> Any:
    """Return segment_anything's own predictor, with the photo set."""
    predictor = SamPredictor(sam)
    predictor.set_image(rgb)
    return predictor


@pytest.fixture(scope="module")
def cells_predictor(cells_sam: Any, rgb: NDArray[np.uint8]) -> Any:
    """Return the predictor of the second checkpoint, with the photo stretched as micro-sam does it."""
    image = rgb.astype(np.float32)
    image -= image.min(axis=(0, 1))
    image /= image.max(axis=(0, 1)) + np.float32(1e-7)
    predictor = SamPredictor(cells_sam)
    predictor.set_image((image * np.float32(255)).astype(np.uint8))
    return predictor


def test_the_embedding_of_each_checkpoint_is_that_of_its_sam_predictor(
    service: Service, predictor: Any, cells_predictor: Any, random_vit_b: Model, cells: Model
) -> None:
    for model, reference in ((random_vit_b, predictor), (cells, cells_predictor)):
        expected = reference.get_image_embedding().numpy()
        assert float(np.abs(expected).max()) > 1
        np.testing.assert_allclose(service.embedding(model), expected, atol=1e-3, rtol=0)
    assert float(np.abs(service.embedding(random_vit_b) - service.embedding(cells)).mean()) > 0.1


def test_a_prompt_is_answered_with_the_masks_of_each_model(
    service: Service, predictor: Any, cells_predictor: Any, cells: Model, weights: Path
) -> None:
    mobile = Reference(read_export(weights / "sam.onnx"))
    mobile.preset(service.embedding(MOBILE_SAM), (400, 600))
    point, label = np.array([POINT], np.float64), np.array([1])
    theirs = mobile.predict(Click(point, label))
    references = {
        VIT_B: predictor.predict(point, label)[:2],
        cells: cells_predictor.predict(point, label)[:2],
        MOBILE_SAM: (theirs.masks, theirs.scores),
    }
    for model, (expected, scores) in references.items():
        masks = service.masks(model, prompts=PROMPTS)
        assert [mask["score"] for mask in masks] == pytest.approx(scores, abs=1e-2)
        for mask, wanted in zip(masks, expected, strict=True):
            ours = coco.decode({**mask["rle"], "counts": mask["rle"]["counts"].encode()}).astype(bool)
            union = np.logical_or(ours, wanted).sum()
            assert union == 0 or np.logical_and(ours, wanted).sum() / union > 0.99


def test_the_embedding_of_mobile_sam_is_that_of_its_graph(
    service: Service, rgb: NDArray[np.uint8], weights: Path
) -> None:
    (expected,) = session_of(weights / "encoder.onnx").run(
        None, {"input": normalise_and_pad(SAM1.frame.resize(rgb), MOBILE_SAM)}
    )
    np.testing.assert_allclose(service.embedding(MOBILE_SAM), expected, atol=1e-3, rtol=0)


@pytest.fixture(scope="module")
def tiny(weights_of_tiny: dict[str, NDArray[Any]], rgb: NDArray[np.uint8]) -> tuple[Any, Any]:
    """Return transformers' own SAM 2.1 tiny, and its features of the photo."""
    model = empty_model(SAM2_1_TINY.name)
    state = by_transformers_names(SAM2_1_TINY.name, weights_of_tiny)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()}, assign=True)
    frames = Staging(SAM2_1_TINY, torch.device("cpu")).frames([SAM2.frame.resize(rgb)])
    return model, model.get_image_embeddings(frames)


@pytest.mark.parametrize("multimask", [True, False])
def test_a_prompt_on_sam2_is_answered_with_the_masks_of_transformers(
    multimask: bool, service: Service, tiny: tuple[Any, Any], rgb: NDArray[np.uint8]
) -> None:
    model, features = tiny
    height, width = rgb.shape[:2]
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
    masks = service.masks(SAM2_1_TINY, prompts=[{"points": points, "labels": [1, 0]}], multimask=multimask)
    assert len(masks) == (3 if multimask else 1)
    assert [mask["score"] for mask in masks] == pytest.approx(theirs.iou_scores[0, 0].tolist(), abs=1e-3)
    for mask, expected in zip(masks, logits.numpy(), strict=True):
        ours = coco.decode({**mask["rle"], "counts": mask["rle"]["counts"].encode()}).astype(bool)
        differing = ours != (expected > 0)
        assert 0.01 < float(ours.mean()) < 0.99
        assert not (differing & (np.abs(expected) > 1e-2)).any()
        assert float(differing.mean()) < 1e-3


def test_sam2_says_its_three_tensors(service: Service) -> None:
    described = service.client.get(f"/v1/models/{SAM2_1_TINY.name}").json()
    assert (described["architecture"], described["frame"]) == ("sam2", {"name": "squash", "side": 1024})
    assert [tuple(tensor["shape"]) for tensor in described["tensors"]] == [spec.shape for spec in SAM2.tensors]
    assert {tensor["stored_as"] for tensor in described["tensors"]} == {"float32"}


def test_models_at_once_never_mix(
    service: Service, random_vit_b: Model, cells: Model, checkpoint_of_tiny: Path
) -> None:
    with checkpoint_of_tiny.open("rb") as file:
        random_tiny = SAM2_1_TINY.with_checkpoint(hashlib.file_digest(file, "sha256").hexdigest())
    listed = {model["name"]: model for model in service.client.get("/v1/models").json()["models"]}
    assert {name: model["weights_digest"] for name, model in listed.items()} == {
        MOBILE_SAM.name: MOBILE_SAM.weights_digest,
        VIT_B.name: random_vit_b.weights_digest,
        cells.name: cells.weights_digest,
        SAM2_1_TINY.name: random_tiny.weights_digest,
    }
    assert listed[cells.name]["licence"] == "NOASSERTION"
    for model, other in (
        (VIT_B, MOBILE_SAM),
        (VIT_B, cells),
        (cells, VIT_B),
        (SAM2_1_TINY, VIT_B),
        (VIT_B, SAM2_1_TINY),
    ):
        token = service.masks(model, prompts=PROMPTS)[0]["mask_token"]
        foreign = service.client.post(
            f"/v1/images/{service.image_id}/masks",
            params={"model": other.name},
            json={"prompts": [{**PROMPTS[0], "mask_token": token}]},
        )
        assert (foreign.status_code, foreign.json()["code"]) == (422, "invalid-prompt")


@pytest.mark.usefixtures("without_cells")
def test_readyz_names_the_model_without_a_worker(service: Service, cells: Model) -> None:
    """The service says it 15 s after the last sign of life. This test is the last, so most of that time is over."""
    deadline = time.monotonic() + BOUND
    named = f"workers of {cells.name}"
    while degraded(answer := service.client.get("/readyz")) != [named]:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    checks = answer.json()["checks"]
    assert "no worker is alive" in checks[named]
    assert {checks[f"workers of {model.name}"] for model in (MOBILE_SAM, VIT_B, SAM2_1_TINY)} == {"ok"}
