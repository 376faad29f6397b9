"""The decoder of a checkpoint travels from the worker, which has the checkpoint, to the API, which does not."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from shared.contract.errors import WeightsError
from shared.contract.models import VIT_B, VIT_H
from shared.contract.settings import Settings
from shared.weights.decoder_file import decoder_path, read_decoder, write_decoder

MODEL = VIT_B.with_checkpoint("0123456789abcdef" * 4)
ARRAYS = {"mask_decoder.a": np.arange(6, dtype=np.float32).reshape(2, 3), "prompt_encoder.b": np.ones(4, np.float32)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "vit_b" / "decoder.npz"
    write_decoder(path, MODEL, ARRAYS)
    return path


def test_what_is_written_is_read_with_the_digest_of_its_checkpoint(path: Path) -> None:
    read = read_decoder(path, VIT_B)
    assert read.model == MODEL
    assert read.model.weights_digest != VIT_B.weights_digest
    assert read.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read.arrays[name], array)


def test_nothing_else_is_left_in_the_folder_and_others_may_read_it(path: Path) -> None:
    assert [file.name for file in path.parent.iterdir()] == ["decoder.npz"]
    assert path.stat().st_mode & 0o444 == 0o444


def test_a_newer_checkpoint_replaces_it(path: Path) -> None:
    other = VIT_B.with_checkpoint("f" * 64)
    write_decoder(path, other, ARRAYS)
    assert read_decoder(path, VIT_B).model == other


def test_its_place_depends_on_the_model_alone() -> None:
    settings = Settings(weights_dir="/w")
    assert decoder_path(VIT_B, settings) == decoder_path(MODEL, settings) == Path("/w/vit_b/decoder.npz")


def test_a_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"vit_b, is missing: start a worker .* encoder_worker.export_decoder"):
        read_decoder(tmp_path / "decoder.npz", VIT_B)


def test_a_file_of_another_model_is_refused(path: Path) -> None:
    with pytest.raises(WeightsError, match="decoder of vit_b, not of vit_h"):
        read_decoder(path, VIT_H)


@pytest.mark.parametrize("damage", ["cut", "changed", "text", "empty"])
def test_a_damaged_file_is_refused(path: Path, damage: str) -> None:
    data = path.read_bytes()
    middle = data.index(ARRAYS["mask_decoder.a"].tobytes())
    changed = data[:middle] + b"\xff" + data[middle + 1 :]
    path.write_bytes({"cut": data[:-30], "changed": changed, "text": b"hello", "empty": b""}[damage])
    with pytest.raises(WeightsError, match="is damaged: delete it"):
        read_decoder(path, VIT_B)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("__import__('os').abort()",)


@pytest.mark.parametrize("inside", [False, True], ids=["the file itself", "a member"])
def test_a_pickle_is_not_executed(path: Path, inside: bool) -> None:
    if inside:
        bomb = np.empty(1, dtype=object)
        bomb[0] = Bomb()
        np.savez(path, model=np.array("vit_b"), checkpoint_sha256=bomb)
    else:
        path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(WeightsError, match="is damaged"):
        read_decoder(path, VIT_B)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "vit_b").write_text("a file")
    with pytest.raises(WeightsError, match="SAM_WEIGHTS_DIR"):
        write_decoder(tmp_path / "vit_b" / "decoder.npz", MODEL, ARRAYS)
