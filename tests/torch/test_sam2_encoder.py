"""The image side of SAM 2.1 and EdgeTAM gives the numbers of Meta's own code and of transformers."""

from __future__ import annotations

import copy
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray

from encoder_worker.backends.load import load_encoder
from encoder_worker.backends.on_torch.encoder import TorchEncoder
from encoder_worker.backends.on_torch.staging import Staging
from encoder_worker.backends.on_torch.torchvision_operators import ensure_torchvision_imports
from encoder_worker.backends.sam2.network import Network, empty_model
from shared.contract.models import EDGETAM, EMBEDDING, HIGH_RES_S0, HIGH_RES_S1, SAM2, SAM2_1_TINY, Model
from shared.contract.settings import Settings
from shared.tensors.embedding import Tensors
from tests.support.small_sam2 import SMALL, by_transformers_names, meta_shapes, random_weights

ensure_torchvision_imports()

from torchvision.transforms import Compose, Normalize, Resize, ToTensor  # noqa: E402  # it cannot be imported earlier

CPU = torch.device("cpu")
RECORDED = Path(__file__).parent / "recorded"
"""What Meta's own code computed for skimage's coffee cup and `random_weights`: see record_sam2.py."""


def filled(network: str) -> Any:
    """Return transformers' model with random weights."""
    model = empty_model(network)
    state = by_transformers_names(network, random_weights(meta_shapes(network)))
    model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()}, assign=True)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def small(small_sam2: None) -> Any:
    return filled(SMALL)


@pytest.fixture(scope="module")
def coffee() -> NDArray[np.float32]:
    return SAM2.frame.resize(skimage.data.coffee())


def encoder(model: Model, network: Any, dtype: torch.dtype = torch.float32, batch: int = 1) -> TorchEncoder:
    return TorchEncoder(model, Network(copy.deepcopy(network), dtype).eval(), CPU, batch=batch)


def assert_is_recorded(network: str, tensors: Tensors) -> None:
    with np.load(RECORDED / f"{network}.npz", allow_pickle=False) as record:
        for spec in SAM2.tensors:
            theirs, ours = record[spec.name], tensors[spec.name].reshape(-1)[record[f"{spec.name}_at"]]
            assert tensors[spec.name].shape == spec.shape
            assert float(np.abs(ours - theirs).max()) < 2e-5 * float(theirs.std())


def test_the_small_network_gives_the_features_of_metas_predictor(small: Any, coffee: NDArray[np.float32]) -> None:
    (tensors,) = encoder(SAM2_1_TINY, small).encode([coffee])
    assert_is_recorded(SMALL, tensors)


def test_edgetam_gives_the_features_of_metas_predictor(coffee: NDArray[np.float32]) -> None:
    (tensors,) = encoder(EDGETAM, filled("edgetam")).encode([coffee])
    assert_is_recorded("edgetam", tensors)


def test_the_features_are_those_of_transformers(small: Any, coffee: NDArray[np.float32]) -> None:
    frames = Staging(SAM2_1_TINY, CPU).frames([coffee])
    s0, s1, embedding = small.get_image_embeddings(frames)
    (tensors,) = encoder(SAM2_1_TINY, small).encode([coffee])
    for name, theirs in ((EMBEDDING, embedding), (HIGH_RES_S1, s1), (HIGH_RES_S0, s0)):
        np.testing.assert_allclose(tensors[name], theirs.numpy(), atol=1e-5 * float(theirs.std()), rtol=0)


@pytest.mark.parametrize("tall", [False, True])
@pytest.mark.parametrize("photo", ["astronaut", "chelsea", "rocket"])
def test_the_encoder_sees_what_metas_transforms_show_it(photo: str, tall: bool) -> None:
    rgb = getattr(skimage.data, photo)()
    if tall:
        rgb = np.ascontiguousarray(rgb[:, : rgb.shape[0] // 3])
    theirs = Compose([ToTensor(), Resize((1024, 1024)), Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])(rgb)
    ours = Staging(SAM2_1_TINY, CPU).frames([SAM2.frame.resize(rgb)])
    torch.testing.assert_close(ours[0], theirs, atol=1e-5, rtol=0)


def test_the_images_of_a_batch_do_not_mix(small: Any, coffee: NDArray[np.float32]) -> None:
    images = [coffee, SAM2.frame.resize(skimage.data.chelsea())]
    together = encoder(SAM2_1_TINY, small, batch=2).encode(images)
    for image, tensors in zip(images, together, strict=True):
        (alone,) = encoder(SAM2_1_TINY, small).encode([image])
        for spec in SAM2.tensors:
            np.testing.assert_allclose(tensors[spec.name], alone[spec.name], atol=1e-4 * float(alone[spec.name].std()))


def test_bfloat16_stays_close_to_float32(small: Any, coffee: NDArray[np.float32]) -> None:
    (exact,) = encoder(SAM2_1_TINY, small).encode([coffee])
    (rounded,) = encoder(SAM2_1_TINY, small, torch.bfloat16).encode([coffee])
    for spec in SAM2.tensors:
        difference = float(np.abs(rounded[spec.name] - exact[spec.name]).mean())
        assert 0 < difference < 0.02 * float(np.abs(exact[spec.name]).mean()), spec.name


def test_a_worker_loads_a_checkpoint_without_any_connection(
    small_sam2_model: Model, coffee: NDArray[np.float32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("something connects")

    weights = random_weights(meta_shapes(SMALL))
    torch.save({"model": {name: torch.from_numpy(array) for name, array in weights.items()}}, tmp_path / "own.pt")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    settings = Settings(
        model=SAM2_1_TINY.name,
        weights_path=str(tmp_path / "own.pt"),
        weights_dir=str(tmp_path / "cache"),
        device="cpu",
        encoder_threads=1,
    )
    loaded = load_encoder(small_sam2_model, settings)
    assert loaded.model != small_sam2_model
    (tensors,) = loaded.encode([coffee])
    stored = SAM2.stored_as("auto")
    for name, tensor in tensors.items():  # what is stored in float16 is rounded by the device
        assert tensor.dtype == (np.float16 if stored[name] == "float16" else np.float32)
    with np.load(RECORDED / f"{SMALL}.npz", allow_pickle=False) as record:
        theirs, ours = record[EMBEDDING], tensors[EMBEDDING].reshape(-1)[record[f"{EMBEDDING}_at"]]
        np.testing.assert_allclose(ours, theirs, atol=1e-3 * float(theirs.std()), rtol=1e-3)
