"""A real ViT-B and a small encoder of the same class, with random weights, and a checkpoint in Meta's format."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from encoder_worker.backends.on_torch.torchvision_operators import ensure_torchvision_imports
from encoder_worker.backends.sam2.network import NETWORKS
from shared.contract.models import SAM2_1_TINY, VIT_B, Model
from tests.support.small_sam import randomise, small_image_encoder
from tests.support.small_sam2 import SMALL, SMALL_TRUNK

ensure_torchvision_imports()

from segment_anything import sam_model_registry  # noqa: E402  # it cannot be imported earlier


@pytest.fixture(scope="session")
def sam() -> Any:
    """Return segment_anything's own ViT-B."""
    model = sam_model_registry["vit_b"]().eval().requires_grad_(False)
    randomise(model.image_encoder, seed=1)
    return model


@pytest.fixture(scope="session")
def checkpoint(sam: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the model's checkpoint, in the format and under the name of the official one."""
    assert VIT_B.checkpoint is not None
    path = tmp_path_factory.mktemp("checkpoint") / VIT_B.checkpoint.name
    torch.save(sam.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def random_vit_b(checkpoint: Path) -> Model:
    """Return ViT-B with the digest of that checkpoint."""
    with checkpoint.open("rb") as file:
        return VIT_B.with_checkpoint(hashlib.file_digest(file, "sha256").hexdigest())


@pytest.fixture
def small_encoder() -> Callable[[], Any]:
    """Return a function that makes equal `ImageEncoderViT`s: two narrow blocks, one with windows and one without."""

    def make() -> Any:
        encoder = small_image_encoder()
        randomise(encoder, seed=2)
        return encoder.eval().requires_grad_(False)

    return make


@pytest.fixture
def photo() -> NDArray[np.uint8]:
    """Return a landscape photo, (400, 600, 3)."""
    import skimage.data

    return np.asarray(skimage.data.coffee())


@pytest.fixture(scope="session")
def small_sam2() -> Iterator[None]:
    """Add the small network of SAM 2 to those that can be built."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, SMALL, SMALL_TRUNK)
        yield


@pytest.fixture(scope="session")
def small_sam2_model(small_sam2: None) -> Model:
    """Return SAM 2.1 tiny, but with weights of the small network."""
    assert SAM2_1_TINY.checkpoint is not None
    return replace(SAM2_1_TINY, checkpoint=replace(SAM2_1_TINY.checkpoint, network=SMALL))
