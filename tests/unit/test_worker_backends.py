"""Encoders by model, and the fake encoder, whose every number must be predictable."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from encoder_worker.backends.load import load_encoder
from shared.contract.errors import ConfigurationError
from shared.contract.models import FAKE, SAM1, SAM2_1_TINY
from shared.contract.settings import Settings


def test_the_fake_embedding_is_the_mean_colour_of_each_block_of_the_padded_frame() -> None:
    image = np.random.default_rng(0).integers(0, 256, (600, 1024, 3), dtype=np.uint8)
    embedding = load_encoder(FAKE, Settings()).encode([image])[0]["embedding"]
    assert embedding.shape == (1, 256, 64, 64)
    assert embedding.dtype == np.float32
    assert embedding[0, :3, 5, 7] == pytest.approx(image[80:96, 112:128].mean(axis=(0, 1)) / 255, rel=1e-5)
    # 600 rows are 37.5 blocks of 16 rows
    assert embedding[0, 3, 36:39, 0] == pytest.approx([1, 0.5, 0])
    assert embedding[0, :3, 37, 7] == pytest.approx(image[592:600, 112:128].sum(axis=(0, 1)) / 256 / 255, rel=1e-5)
    assert not embedding[0, 4:].any()


def test_images_of_several_sizes_are_encoded_each_by_itself() -> None:
    encoder = load_encoder(FAKE, Settings())
    images = [np.full((height, 1024, 3), 255, dtype=np.uint8) for height in (16, 1024)]
    small, large = (tensors["embedding"] for tensors in encoder.encode(images))
    assert small[0, 3].sum() == 64
    assert large[0, 3].sum() == 64 * 64


def test_a_model_that_no_backend_runs_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="vit_x"):
        load_encoder(replace(FAKE, name="vit_x", architecture=replace(SAM1, name="sam9")), Settings())


def test_the_fake_encoder_needs_no_runtime() -> None:
    program = (
        "import sys; from encoder_worker.backends.load import load_encoder; from shared.contract.models import FAKE; "
        "from shared.contract.settings import Settings; load_encoder(FAKE, Settings()); "
        "sys.exit(bool({'onnxruntime', 'torch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_a_worker_of_mobile_sam_never_imports_torch_or_what_sam2_needs() -> None:
    program = (
        "import sys, encoder_worker.__main__, encoder_worker.backends.sam1.on_onnx; "
        "sys.exit(bool({'torch', 'transformers', 'timm', 'huggingface_hub'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_a_model_of_sam2_without_transformers_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setattr("encoder_worker.backends.sam2.on_torch.locate_checkpoint", lambda model, _: (Path(), model))
    with pytest.raises(
        ConfigurationError, match=r"sam2.1_tiny needs transformers, .* pip install .*(sam2|transformers)"
    ):
        load_encoder(SAM2_1_TINY, Settings(device="cpu"))
