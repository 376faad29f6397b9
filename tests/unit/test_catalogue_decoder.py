"""The API reads the mask decoder of an entry from ONNX, from safetensors, or from the file that a worker made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from prompt_api.models.interface import LoadedDecoder, Prompt
from prompt_api.models.load import load_decoder
from prompt_api.models.sam1.weights import read_export
from shared.contract.errors import WeightsError
from shared.contract.models import MOBILE_SAM, Model
from shared.contract.settings import Settings
from shared.weights.decoder_file import decoder_path, is_handed_over, write_decoder
from shared.weights.entry_files import identified
from tests.support.catalogue import SAM_MEAN, SAM_STD, catalogue_model, write_catalogue, write_safetensors
from tests.unit.decoder_material import random_tensors, random_weights


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(weights_dir=str(tmp_path / "cache"))


def pair(decoder: str) -> dict[str, Any]:
    return {
        "architecture": "onnx",
        "encoder": "e.onnx",
        "decoder": decoder,
        "side": 512,
        "mean": SAM_MEAN,
        "std": SAM_STD,
    }


def model_of(folder: Path, entry: dict[str, Any]) -> Model:
    (folder / "e.onnx").write_bytes(b"not read by the API")
    return catalogue_model("own", write_catalogue(folder, own=entry))


def answer(loaded: LoadedDecoder) -> NDArray[np.float32]:
    """Return the logits of one prompt."""
    prompt = Prompt(points=np.array([[500, 300]], np.float32), labels=np.ones(1, np.int64))
    image = loaded.decoder.prepare(random_tensors(), (600, 1000))
    (masks,) = loaded.decoder.decode(image, [prompt], multimask=True)
    return masks.logits


@pytest.fixture(scope="module")
def real_answer(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.float32]:
    """Return the answer of the built-in MobileSAM."""
    cache = tmp_path_factory.mktemp("cache")
    return answer(load_decoder(MOBILE_SAM, Settings(weights_dir=str(cache), weights_path=str(weights))))


@pytest.mark.parametrize("form", ["onnx", "safetensors", "prefix", "handed over"])
def test_the_same_weights_give_the_same_masks_in_every_form(
    form: str, weights: Path, real_answer: NDArray[np.float32], tmp_path: Path, settings: Settings
) -> None:
    real = read_export(weights / "sam.onnx")
    if form == "onnx":
        (tmp_path / "d.onnx").symlink_to(weights / "sam.onnx")
        model = model_of(tmp_path, pair("d.onnx"))
    elif form == "handed over":
        (tmp_path / "d.pth").write_bytes(b"only torch reads it")
        model = model_of(tmp_path, pair("d.pth"))
        write_decoder(decoder_path(model, settings), identified(model), real)
    else:
        prefix = "module.sam." if form == "prefix" else ""
        arrays = {prefix + name: array for name, array in real.items()} | {"image_encoder.x": np.zeros(3, np.float32)}
        write_safetensors(tmp_path / "d.safetensors", arrays)
        model = model_of(tmp_path, pair("d.safetensors"))
    loaded = load_decoder(model, settings)
    assert loaded.model == identified(model)
    assert loaded.model.weights_digest != MOBILE_SAM.weights_digest
    assert loaded.files
    np.testing.assert_array_equal(answer(loaded), real_answer)


def test_a_whole_checkpoint_as_safetensors_needs_no_worker(tmp_path: Path, settings: Settings) -> None:
    write_safetensors(tmp_path / "cells.safetensors", random_weights() | {"image_encoder.x": np.zeros(3, np.float16)})
    model = model_of(tmp_path, {"architecture": "vit_b", "weights": "cells.safetensors"})
    assert not is_handed_over(model)
    assert load_decoder(model, settings).model == identified(model)


def test_entries_of_other_weights_never_share_a_decoder(tmp_path: Path, settings: Settings) -> None:
    entries = {}
    for seed in (1, 2):
        write_safetensors(tmp_path / f"w{seed}.safetensors", random_weights(seed))
        entries[f"m{seed}"] = {"architecture": "vit_b", "weights": f"w{seed}.safetensors"}
    path = write_catalogue(tmp_path, **entries)
    one, two = (load_decoder(catalogue_model(name, path), settings) for name in entries)
    assert one.files != two.files
    assert np.abs(answer(one) - answer(two)).max() > 0.01


def test_a_decoder_file_of_another_checkpoint_is_refused(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "cells.pth").write_bytes(b"first")
    model = model_of(tmp_path, {"architecture": "vit_b", "weights": "cells.pth"})
    with pytest.raises(
        WeightsError, match=r"models\.own, weights: .*decoder\.npz, the mask decoder of own, is missing"
    ):
        load_decoder(model, settings)
    write_decoder(decoder_path(model, settings), identified(model), random_weights())
    assert load_decoder(model, settings).model == identified(model)
    (tmp_path / "cells.pth").write_bytes(b"second")
    with pytest.raises(WeightsError, match=r"models\.own, weights: .*decoder\.npz was made of another file than"):
        load_decoder(model, settings)


def broken(change: str) -> dict[str, NDArray[np.float32]]:
    arrays = random_weights()
    name = "mask_decoder.iou_token.weight"
    if change == "missing":
        del arrays["mask_decoder.mask_tokens.weight"]
    elif change == "shape":
        arrays[name] = np.zeros((1, 128), np.float32)
    elif change == "not finite":
        arrays[name][0, 3] = np.inf
    elif change == "ambiguous":
        arrays["ema." + name] = arrays[name]
    else:
        arrays = {"conv.weight": np.zeros((3, 3), np.float32)}
    return arrays


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("missing", r"1 weights are missing, the first is mask_decoder\.mask_tokens\.weight"),
        ("shape", r"mask_decoder\.iou_token\.weight has shape \(1, 128\), not \(1, 256\)"),
        ("not finite", r"mask_decoder\.iou_token\.weight holds values that are not finite"),
        ("ambiguous", "it is not clear which weights are meant"),
        ("foreign", "137 weights are missing"),
    ],
)
def test_wrong_weights_are_one_sentence(tmp_path: Path, settings: Settings, change: str, says: str) -> None:
    write_safetensors(tmp_path / "d.safetensors", broken(change))
    with pytest.raises(WeightsError, match=says) as refusal:
        load_decoder(model_of(tmp_path, pair("d.safetensors")), settings)
    assert refusal.value.detail.startswith(f"SAM_CATALOGUE={tmp_path / 'catalogue.toml'}: models.own, decoder: ")
    assert not list((tmp_path / "cache").glob("decoder-*"))


def test_an_onnx_graph_that_is_no_decoder_of_sam_is_one_sentence(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "d.onnx").write_bytes(helper.make_model(helper.make_graph([], "empty", [], [])).SerializeToString())
    with pytest.raises(WeightsError, match=r"models\.own, decoder: not a SAM mask decoder: 137 weights are missing"):
        load_decoder(model_of(tmp_path, pair("d.onnx")), settings)


def test_a_bundled_decoder_is_used_and_nothing_is_written(weights: Path, tmp_path: Path, settings: Settings) -> None:
    image = Settings(weights_dir=str(tmp_path / "image"), weights_path=str(weights))
    built = load_decoder(MOBILE_SAM, image)
    bundled = replace(settings, bundled_dir=str(tmp_path / "image"))
    assert load_decoder(MOBILE_SAM, bundled).files == built.files
    assert not (tmp_path / "cache").exists()
    write_safetensors(tmp_path / "d.safetensors", random_weights())
    own = load_decoder(model_of(tmp_path, pair("d.safetensors")), bundled).files
    assert own
    assert all(path.is_relative_to(tmp_path / "cache") for path in own.values())
