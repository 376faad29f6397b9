"""Checkpoints of SAM 2's architecture in the catalogue: the worker hands their decoders to the API."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from encoder_worker.backends.load import export_decoder
from encoder_worker.backends.sam2.network import NETWORKS, configuration
from prompt_api.models.load import load_decoder
from shared.contract.errors import WeightsError
from shared.contract.settings import Settings
from shared.weights.catalogue import known_models
from shared.weights.decoder_file import decoder_path, read_decoder
from tests.support.small_sam2 import by_transformers_names, is_of_the_decoder, meta_shapes, random_weights


@pytest.fixture(scope="module")
def weights() -> dict[str, NDArray[Any]]:
    return random_weights(meta_shapes("edgetam"))


def settings(folder: Path, weights: str) -> Settings:
    entry = f'[models.leaves]\narchitecture = "edgetam"\nweights = "{weights}"\n'
    (folder / "catalogue.toml").write_text(entry, encoding="utf-8")
    where = {"catalogue": str(folder / "catalogue.toml"), "weights_dir": str(folder / "cache")}
    return Settings(model="leaves", device="cpu", **where)


def tensors(arrays: dict[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def test_a_checkpoint_of_the_catalogue_is_decoded_by_the_api(weights: dict[str, NDArray[Any]], tmp_path: Path) -> None:
    torch.save({"model": tensors(weights)}, tmp_path / "leaves.pt")
    own = settings(tmp_path, "leaves.pt")
    model = known_models(own)["leaves"]
    with pytest.raises(WeightsError, match=r"models\.leaves, weights: .*decoder\.npz, the mask decoder of leaves, is"):
        load_decoder(model, own)
    export_decoder(model, own)
    loaded = load_decoder(model, own)
    assert loaded.model.architecture.name == "sam2"
    assert loaded.model.checkpoint is not None
    assert loaded.model.checkpoint.sha256 == hashlib.sha256((tmp_path / "leaves.pt").read_bytes()).hexdigest()


def test_a_folder_of_the_catalogue_gives_a_decoder_by_metas_names(
    weights: dict[str, NDArray[Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "leaves"
    folder.mkdir()
    save_file(tensors(by_transformers_names("edgetam", weights)), folder / "model.safetensors")
    configuration(NETWORKS["edgetam"]).to_json_file(folder / "config.json")
    own = settings(tmp_path, "leaves")
    model = known_models(own)["leaves"]
    export_decoder(model, own)
    arrays = read_decoder(decoder_path(model, own), model).arrays
    assert arrays.keys() == {name for name in weights if is_of_the_decoder(name)}
    assert all(np.array_equal(arrays[name], weights[name]) for name in arrays)


def test_a_wrong_tensor_is_refused_with_the_name_of_the_entry(weights: dict[str, NDArray[Any]], tmp_path: Path) -> None:
    torch.save({"model": {**tensors(weights), "no_mem_embed": torch.zeros(2)}}, tmp_path / "leaves.pt")
    own = settings(tmp_path, "leaves.pt")
    with pytest.raises(
        WeightsError, match=r"models\.leaves, weights: .* no_mem_embed has shape \(2,\), not \(1, 1, 256"
    ):
        export_decoder(known_models(own)["leaves"], own)
