"""A file with a checkpoint's name may hold anything. Only weights of the right model are loaded, and no code runs."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from encoder_worker.backends.on_torch.device import choose_device, choose_dtype
from encoder_worker.backends.sam1.checkpoint_file import empty_sam, read_checkpoint
from shared.contract.errors import ConfigurationError, WeightsError
from shared.contract.models import VIT_B, Model
from shared.contract.settings import Settings
from shared.weights.decoder_file import decoder_path, read_decoder

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def expected() -> dict[str, torch.Tensor]:
    """Return the names and shapes of ViT-B's weights."""
    return dict(empty_sam("vit_b").state_dict())


def test_a_checkpoint_is_read_as_it_was_saved(checkpoint: Path, sam: Any, expected: dict[str, torch.Tensor]) -> None:
    state = read_checkpoint(checkpoint, "vit_b", expected)
    assert state.keys() == sam.state_dict().keys()
    for name, tensor in sam.state_dict().items():
        assert torch.equal(state[name], tensor)


def test_the_format_of_before_2020_is_read_as_well(sam: Any, tmp_path: Path) -> None:
    state = {name: tensor for name, tensor in sam.state_dict().items() if name.startswith("mask_decoder.")}
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / "old.pth", "vit_b", state).keys() == state.keys()


class Bomb:
    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (str(self._mark),)


@pytest.mark.parametrize("form", ["torch", "pickle", "state_dict"])
def test_code_in_a_checkpoint_is_refused_and_does_not_run(
    form: str, tmp_path: Path, expected: dict[str, torch.Tensor]
) -> None:
    path, mark = tmp_path / "evil.pth", tmp_path / "ran"
    if form == "pickle":
        path.write_bytes(pickle.dumps(Bomb(mark), protocol=2))
    else:
        torch.save(Bomb(mark) if form == "torch" else {"image_encoder.pos_embed": Bomb(mark)}, path)
    with pytest.raises(WeightsError, match="can run code, so it is not loaded"):
        read_checkpoint(path, "vit_b", expected)
    assert not mark.exists()


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_damaged_checkpoint_is_refused(
    damage: str, checkpoint: Path, tmp_path: Path, expected: dict[str, torch.Tensor]
) -> None:
    path = tmp_path / "damaged.pth"
    with checkpoint.open("rb") as file:
        path.write_bytes({"cut": file.read(5_000_000), "text": b"<html>Not found</html>", "empty": b""}[damage])
    with pytest.raises(WeightsError, match=str(path)):
        read_checkpoint(path, "vit_b", expected)


def test_a_checkpoint_of_another_model_is_named(checkpoint: Path) -> None:
    with pytest.raises(WeightsError, match="is a checkpoint of vit_b, not of vit_h: set SAM_MODEL=vit_b"):
        read_checkpoint(checkpoint, "vit_h", empty_sam("vit_h").state_dict())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("mask_decoder.iou_token.weight"), "mask_decoder.iou_token.weight is missing"),
        (lambda state: state.update({"image_encoder.neck.1.bias": torch.zeros(3)}), r"has shape \(3,\), not \(256,\)"),
        (lambda state: state.update(epoch=7), "must be a state_dict of tensors"),
    ],
    ids=["missing", "shape", "not a tensor"],
)
def test_a_checkpoint_that_is_not_sams_is_refused(
    change: Callable[[dict[str, Any]], object], says: str, tmp_path: Path, expected: dict[str, torch.Tensor]
) -> None:
    state = {name: torch.zeros(()).expand(tensor.shape) for name, tensor in expected.items()}
    change(state)
    torch.save(state, tmp_path / "c.pth")
    with pytest.raises(WeightsError, match=says):
        read_checkpoint(tmp_path / "c.pth", "vit_b", expected)


def test_the_command_writes_the_decoder_that_belongs_to_the_checkpoint(
    checkpoint: Path, sam: Any, random_vit_b: Model, tmp_path: Path
) -> None:
    done = command("encoder_worker.export_decoder", checkpoint, tmp_path)
    path = decoder_path(VIT_B, Settings(weights_dir=str(tmp_path)))
    assert (done.returncode, done.stdout) == (0, f"{path}\n")
    read = read_decoder(path, VIT_B)
    assert read.model == random_vit_b
    assert path.stat().st_size < 20_000_000
    state = sam.state_dict()
    assert set(read.arrays) == {name for name in state if not name.startswith("image_encoder.")}
    for name, array in read.arrays.items():
        np.testing.assert_array_equal(array, state[name].numpy())


@pytest.mark.parametrize("module", ["encoder_worker", "encoder_worker.export_decoder"])
def test_a_process_on_a_bad_checkpoint_ends_with_one_sentence_and_leaves_nothing(module: str, tmp_path: Path) -> None:
    torch.save(Bomb(tmp_path / "ran"), tmp_path / "evil.pth")
    done = command(module, tmp_path / "evil.pth", tmp_path / "cache")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"{module.rpartition('.')[2]}: {tmp_path / 'evil.pth'} holds more")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "cache").exists()


def test_a_gpu_that_is_asked_for_and_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigurationError, match=r"SAM_DEVICE=cuda: \w+"):
        choose_device("cuda")
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")


def test_a_cpu_computes_in_float32_unless_told_otherwise() -> None:
    assert choose_dtype("auto", torch.device("cpu")) == torch.float32
    assert choose_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16


def command(module: str, checkpoint: Path, weights_dir: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAM_")}
    environment |= {"SAM_MODEL": "vit_b", "SAM_WEIGHTS_PATH": str(checkpoint), "SAM_WEIGHTS_DIR": str(weights_dir)}
    return subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env=environment | {"SAM_DEVICE": "cpu"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
