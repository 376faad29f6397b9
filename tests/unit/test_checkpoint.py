"""A checkpoint is found or fetched, and identified by its content."""

from __future__ import annotations

import hashlib
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from shared.contract.errors import WeightsError
from shared.contract.keys import EmbeddingKey
from shared.contract.models import FAKE, REGISTRY, VIT_B, Checkpoint, Model
from shared.contract.settings import Settings
from shared.weights.checkpoint import locate_checkpoint
from tests.unit.test_download import CONTENT, SHA256, Server, server

__all__ = ["server"]


@pytest.fixture
def model(server: Server) -> Model:
    """ViT-B with a checkpoint that the test's server publishes."""
    return replace(VIT_B, checkpoint=Checkpoint("sam_tiny.pth", server.url, len(CONTENT), SHA256, "vit_b"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(model="vit_b", weights_dir=str(tmp_path / "cache"))


def test_the_official_checkpoint_is_fetched_once(model: Model, settings: Settings, server: Server) -> None:
    path, found = locate_checkpoint(model, settings)
    assert path == settings.weights_folder / "vit_b" / "sam_tiny.pth"
    assert path.read_bytes() == CONTENT
    assert found == model
    assert locate_checkpoint(model, settings) == (path, model)
    assert len(server.ranges) == 1


def test_a_damaged_file_in_the_cache_is_fetched_again(model: Model, settings: Settings, server: Server) -> None:
    path, _ = locate_checkpoint(model, settings)
    path.write_bytes(CONTENT[:-1] + b"!")
    locate_checkpoint(model, settings)
    assert path.read_bytes() == CONTENT
    assert len(server.ranges) == 2


def test_processes_that_start_together_fetch_once(model: Model, settings: Settings, server: Server) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        found = pool.starmap(locate_checkpoint, [(model, settings)] * 3)
    assert {path for path, _ in found} == {settings.weights_folder / "vit_b" / "sam_tiny.pth"}
    assert len(server.ranges) == 1


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_explicit_checkpoint_is_used_as_it_is_under_its_own_digest(
    kind: str, model: Model, settings: Settings, server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "sam_tiny.pth"
    path.write_bytes(b"trained further")
    given = replace(settings, weights_path=str(path if kind == "file" else tmp_path))
    assert locate_checkpoint(model, given) == (
        path,
        model.with_checkpoint(hashlib.sha256(b"trained further").hexdigest()),
    )
    assert server.ranges == []


def test_a_folder_that_transformers_saved_is_found_by_its_weights(
    model: Model, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"trained further")
    path, found = locate_checkpoint(model, replace(settings, weights_path=str(tmp_path)))
    assert path == tmp_path / "model.safetensors"
    assert found == model.with_checkpoint(hashlib.sha256(b"trained further").hexdigest())


def test_a_checkpoint_that_cannot_be_fetched_is_named_with_its_place_and_its_digest(
    model: Model, settings: Settings, server: Server
) -> None:
    assert model.checkpoint is not None
    elsewhere = replace(model, checkpoint=replace(model.checkpoint, sha256="f" * 64))
    place = settings.weights_folder / "vit_b" / "sam_tiny.pth"
    with pytest.raises(WeightsError, match=f"; vit_b needs {place}, {len(CONTENT)} bytes with the SHA-256 {'f' * 64}$"):
        locate_checkpoint(elsewhere, settings)


def test_an_explicit_path_is_the_default_models_alone(model: Model, settings: Settings) -> None:
    path, _ = locate_checkpoint(model, replace(settings, model="vit_h", weights_path="/nowhere"))
    assert path.parent == settings.weights_folder / "vit_b"


def test_an_explicit_checkpoint_that_is_missing_is_not_fetched(
    model: Model, settings: Settings, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=r"SAM_WEIGHTS_PATH: .*sam_tiny.pth is missing"):
        locate_checkpoint(model, replace(settings, weights_path=str(tmp_path)))
    assert server.ranges == []


def test_a_model_without_a_checkpoint_has_none(settings: Settings) -> None:
    with pytest.raises(WeightsError, match="has no checkpoint"):
        locate_checkpoint(FAKE, settings)


def test_weights_trained_further_have_keys_of_their_own() -> None:
    image_id = "a" * 64
    official, own = EmbeddingKey.of(image_id, VIT_B), EmbeddingKey.of(image_id, VIT_B.with_checkpoint("0" * 64))
    assert official.redis_key != own.redis_key
    assert official.job_id != own.job_id


def test_every_checkpoint_is_published_under_its_name() -> None:
    checkpoints = [model.checkpoint for model in REGISTRY.values() if model.checkpoint is not None]
    assert len(checkpoints) == 8
    for checkpoint in checkpoints:
        assert checkpoint.url.endswith("/" + checkpoint.name)
        assert len(checkpoint.sha256) == 64
