"""Checkpoints of the catalogue: the forms that training programs write, and one sentence for what cannot be loaded.

Where the form is what matters, the files hold the mask decoder alone: it is small.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from encoder_worker.backends.load import export_decoder, load_encoder
from encoder_worker.backends.sam1.checkpoint_file import read_checkpoint
from shared.contract.errors import ConfigurationError, WeightsError
from shared.contract.settings import Settings
from shared.weights.decoder_file import PREFIXES, decoder_path, read_decoder
from shared.weights.entry_files import identified
from tests.support.catalogue import SAM_MEAN, SAM_STD, catalogue_model, write_catalogue, write_safetensors
from tests.support.small_encoders import patch_kernel, write_patch_encoder
from tests.torch.test_checkpoint_file import Bomb

ROOT = Path(__file__).parents[2]
KEY = "mask_decoder.iou_token.weight"
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def decoder(sam: Any) -> State:
    """Return the prompt encoder and the mask decoder of a ViT-B with random weights."""
    return {name: tensor for name, tensor in sam.state_dict().items() if name.startswith(PREFIXES)}


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


FORMS: dict[str, Callable[[State], object]] = {
    "alone": lambda state: state,
    "model": lambda state: {"model": state, "epoch": 7, "args": {"lr": 1e-4}},
    "state_dict": lambda state: {"state_dict": state, "hyper_parameters": {}},
    "sam.": lambda state: prefixed(state, "sam."),
    "module.": lambda state: prefixed(state, "module.") | {"module.head.weight": torch.zeros(3)},
    "state_dict of model.sam.": lambda state: {"state_dict": prefixed(state, "model.sam.")},
    "model_state of sam.": lambda state: {"model_state": prefixed(state, "sam."), "decoder_state": {}},
}


@pytest.mark.parametrize("wrapped", FORMS.values(), ids=FORMS)
def test_the_forms_of_training_programs_are_read(
    wrapped: Callable[[State], object], decoder: State, tmp_path: Path
) -> None:
    torch.save(wrapped(decoder), tmp_path / "w.pt")
    read = read_checkpoint(tmp_path / "w.pt", "vit_b", decoder)
    assert read.keys() == decoder.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in decoder.items())


@pytest.mark.parametrize("prefix", ["", "sam."])
def test_safetensors_are_read(prefix: str, decoder: State, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    write_safetensors(path, {prefix + name: tensor.numpy() for name, tensor in decoder.items()})
    read = read_checkpoint(path, "vit_b", decoder)
    assert all(torch.equal(read[name], tensor) for name, tensor in decoder.items())


def with_key(state: State, value: torch.Tensor) -> State:
    return {**state, KEY: value}


WRONG: dict[str, tuple[Callable[[State], object], str]] = {
    "two wrappings": (
        lambda state: {"model": state, "state_dict": state},
        "a state_dict in each of model and state_dict",
    ),
    "two prefixes": (
        lambda state: {**state, **prefixed(state, "ema.")},
        "it is not clear which weights are meant: it has",
    ),
    "no state_dict": (lambda state: {"weights": state}, "it must be a state_dict of tensors, alone or as model"),
    "a list": (lambda state: list(state.values()), "it must be a state_dict of tensors"),
    "nothing": (lambda state: {}, "it must be a state_dict of tensors"),
    "wrapped nothing": (lambda state: {"model": {}}, "it must be a state_dict of tensors"),
    "missing": (
        lambda state: {n: t for n, t in state.items() if n != KEY},
        f"no checkpoint of vit_b: {KEY} is missing",
    ),
    "shape": (lambda state: with_key(state, torch.zeros(1, 9)), rf"{KEY} has shape \(1, 9\), not \(1, 256\)"),
    "NaN": (lambda state: with_key(state, torch.full((1, 256), torch.nan)), f"{KEY} has numbers that are not finite"),
    "infinite": (
        lambda state: with_key(state, torch.full((1, 256), torch.inf)),
        f"{KEY} has numbers that are not finite",
    ),
}


@pytest.mark.parametrize(("wrong", "says"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_loaded_is_one_sentence(
    wrong: Callable[[State], object], says: str, decoder: State, tmp_path: Path
) -> None:
    """An ONNX encoder with a checkpoint's decoder: torch is needed to export that."""
    torch.save(wrong(decoder), tmp_path / "d.pth")
    with pytest.raises(WeightsError, match=says) as refusal:
        export_decoder(catalogue_model("own", pair(tmp_path)), Settings(weights_dir=str(tmp_path / "cache")))
    assert refusal.value.detail.startswith(f"SAM_CATALOGUE={tmp_path / 'catalogue.toml'}: models.own, decoder: ")
    assert "\n" not in refusal.value.detail
    assert not (tmp_path / "cache").exists()


def pair(folder: Path) -> Path:
    """Write a catalogue with an encoder of 512 pixels beside the decoder in `d.pth`, and return its path."""
    write_patch_encoder(folder / "e.onnx", patch_kernel(512), 512)
    files = {"encoder": "e.onnx", "decoder": "d.pth"}
    return write_catalogue(folder, own={"architecture": "onnx", **files, "side": 512, "mean": SAM_MEAN, "std": SAM_STD})


def test_the_worker_of_an_onnx_encoder_hands_over_a_checkpoints_decoder(decoder: State, tmp_path: Path) -> None:
    torch.save(decoder, tmp_path / "d.pth")
    model = identified(catalogue_model("own", pair(tmp_path)))
    settings = Settings(weights_dir=str(tmp_path / "cache"), device="cpu", encoder_threads=1)
    assert load_encoder(model, settings).model == model
    file = read_decoder(decoder_path(model, settings), model)
    assert file.model == model
    assert file.arrays.keys() == decoder.keys()
    for name, array in file.arrays.items():
        np.testing.assert_array_equal(array, decoder[name].numpy())


def test_a_checkpoint_of_another_architecture_is_named(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "cells.pth").symlink_to(checkpoint)
    path = write_catalogue(tmp_path, cells={"architecture": "vit_h", "weights": "cells.pth"})
    says = r"models\.cells, weights: .* is a checkpoint of vit_b, not of vit_h: .* architecture = 'vit_b'"
    with pytest.raises(WeightsError, match=says):
        export_decoder(catalogue_model("cells", path), Settings(weights_dir=str(tmp_path / "cache")))


def test_an_empty_folder_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "form").mkdir()
    path = write_catalogue(tmp_path, cells={"architecture": "vit_b", "weights": "form"})
    with pytest.raises(
        WeightsError, match=r"models\.cells, weights: .*form is a folder: expected model\.safetensors in it"
    ):
        load_encoder(catalogue_model("cells", path), Settings(device="cpu"))


def prepare(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SAM_")}
    return subprocess.run(
        [sys.executable, "-m", "encoder_worker.prepare"],
        cwd=ROOT,
        env=environ | {"SAM_WEIGHTS_DIR": str(folder / "cache"), **settings},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_preparing_writes_the_decoder_files_of_all_served_models(
    checkpoint: Path, decoder: State, tmp_path: Path
) -> None:
    torch.save(decoder, tmp_path / "d.pth")
    pair(tmp_path)
    (tmp_path / "cells.pth").symlink_to(checkpoint)
    own = (tmp_path / "catalogue.toml").read_text()
    path = tmp_path / "catalogue.toml"
    path.write_text(own + "[models.cells]\narchitecture = 'vit_b'\nweights = 'cells.pth'\n")
    done = prepare(tmp_path, SAM_CATALOGUE=str(path), SAM_MODEL="cells", SAM_MODELS="own,fake")
    assert done.returncode == 0, done.stderr
    for name in ("cells", "own"):
        model = identified(catalogue_model(name, path))
        settings = Settings(weights_dir=str(tmp_path / "cache"))
        assert read_decoder(decoder_path(model, settings), model).model == model


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pickle_with_code_is_refused_and_does_not_run(wrapped: bool, tmp_path: Path) -> None:
    bomb = {KEY: Bomb(tmp_path / "ran")}
    torch.save({"model": bomb} if wrapped else bomb, tmp_path / "evil.pth")
    path = write_catalogue(tmp_path, evil={"architecture": "vit_b", "weights": "evil.pth"})
    with pytest.raises(WeightsError) as refusal:
        export_decoder(catalogue_model("evil", path), Settings(weights_dir=str(tmp_path / "cache")))
    place = f"SAM_CATALOGUE={path}: models.evil, weights: {tmp_path / 'evil.pth'} holds more than weights"
    assert refusal.value.detail.startswith(place)
    assert not (tmp_path / "ran").exists()


def test_a_worker_without_torch_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cells.pth").write_bytes(b"not read")
    path = write_catalogue(tmp_path, cells={"architecture": "vit_b", "weights": "cells.pth"})
    for name in [name for name in sys.modules if name.startswith("encoder_worker.backends.sam1.on_torch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        ConfigurationError, match=r"cells needs torch, which is not installed; .* -m pip install .*torch"
    ):
        load_encoder(catalogue_model("cells", path), Settings())
