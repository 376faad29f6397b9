"""The catalogue: what it may say, and one sentence for each mistake, with the entry, the key and what was expected."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.contract.errors import ConfigurationError, ModelNotFound, WeightsError
from shared.contract.keys import EmbeddingKey
from shared.contract.models import IMAGENET, REGISTRY, SAM1, VIT_B, PixelStatistics, find_model
from shared.contract.settings import Settings
from shared.weights.catalogue import known_models, read_catalogue
from shared.weights.entry_files import identified
from tests.support.catalogue import SAM_MEAN, SAM_STD, catalogue_model, write_catalogue

CELLS: dict[str, Any] = {"architecture": "vit_b", "weights": "cells.pth"}
PAIR: dict[str, Any] = {
    "architecture": "onnx",
    "encoder": "e.onnx",
    "decoder": "d.onnx",
    "side": 512,
    "mean": SAM_MEAN,
    "std": SAM_STD,
}
IMAGE_ID = "a" * 64


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with files that entries may name. Their content does not matter here."""
    for name in ("cells.pth", "cells.safetensors", "other.pth", "notes.txt", "e.onnx", "d.onnx"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "pair").mkdir()
    for name in ("encoder.onnx", "sam.onnx"):
        (tmp_path / "pair" / name).write_bytes(name.encode())
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_without_a_catalogue_the_built_in_models_are_known() -> None:
    assert known_models(Settings()) is REGISTRY


def test_a_catalogue_adds_models_to_the_built_in_ones(folder: Path) -> None:
    path = write_catalogue(folder, cells=CELLS, **{"l0.v2-a_b": PAIR})
    known = known_models(Settings(catalogue=str(path)))
    assert list(known) == [*REGISTRY, "cells", "l0.v2-a_b"]
    assert find_model("cells", known) is known["cells"]
    with pytest.raises(ModelNotFound, match=r"no model 'cell'; the known models are .*, cells, l0\.v2-a_b"):
        find_model("cell", known)


def test_an_entry_with_weights_is_the_built_in_model_with_another_checkpoint(folder: Path) -> None:
    model = catalogue_model("cells", write_catalogue(folder, cells={**CELLS, "title": "Cells", "licence": "CC-BY-4.0"}))
    assert (model.name, model.title, model.licence, model.runtime) == ("cells", "Cells", "CC-BY-4.0", "torch")
    assert (model.architecture, model.pixels, model.preprocessing) == (SAM1, IMAGENET, SAM1.preprocessing)
    assert model.checkpoint is not None
    assert model.checkpoint.network == "vit_b"
    assert model.entry is not None
    assert model.entry.weights == folder / "cells.pth"


def test_an_entry_states_no_licence_that_it_was_not_told(folder: Path) -> None:
    assert catalogue_model("cells", write_catalogue(folder, cells=CELLS)).licence == "NOASSERTION"


def test_an_entry_of_the_kind_of_mobile_sam_has_a_folder(folder: Path) -> None:
    model = catalogue_model("m", write_catalogue(folder, m={"architecture": "mobile_sam", "weights": "pair"}))
    assert model.runtime == "onnx"
    assert model.entry is not None
    assert (model.entry.encoder, model.entry.decoder) == (folder / "pair/encoder.onnx", folder / "pair/sam.onnx")
    assert model.npm_package is None


def test_an_onnx_entry_has_a_side_and_statistics_of_its_own(folder: Path) -> None:
    model = catalogue_model("l0", write_catalogue(folder, l0={**PAIR, "std": [1, 2.5, 3]}))
    assert (model.encoder_side, model.encoder_frame.side, model.architecture.frame.side) == (512, 512, 1024)
    assert model.pixels == PixelStatistics((123.675, 116.28, 103.53), (1.0, 2.5, 3.0))


def test_the_digest_is_that_of_the_name_and_the_files(folder: Path) -> None:
    path = write_catalogue(folder, cells=CELLS, again=CELLS, other={**CELLS, "weights": "other.pth"}, pair=PAIR)
    found = {name: identified(catalogue_model(name, path)) for name in ("cells", "again", "other", "pair")}
    assert len({model.weights_digest for model in found.values()}) == 4
    assert found["cells"].checkpoint is not None
    assert found["cells"].checkpoint.sha256 == hashlib.sha256(b"cells.pth").hexdigest()
    assert identified(catalogue_model("cells", path)) == found["cells"]
    (folder / "cells.pth").write_bytes(b"trained on")
    assert identified(catalogue_model("cells", path)).weights_digest != found["cells"].weights_digest
    (folder / "d.onnx").write_bytes(b"another decoder")
    assert identified(catalogue_model("pair", path)).weights_digest != found["pair"].weights_digest


def test_a_model_whose_files_are_not_identified_has_no_digest(folder: Path) -> None:
    with pytest.raises(AssertionError, match="not identified"):
        _ = catalogue_model("cells", write_catalogue(folder, cells=CELLS)).weights_digest


def test_how_pixels_are_prepared_is_a_part_of_the_key(folder: Path) -> None:
    entries = {
        "plain": CELLS,
        "minmax": {**CELLS, "pixels": "minmax"},
        "pair": PAIR,
        "side": {**PAIR, "side": 1024},
        "mean": {**PAIR, "mean": [0, 0, 0]},
        "std": {**PAIR, "std": [255, 255, 255]},
        "pair_minmax": {**PAIR, "pixels": "minmax"},
    }
    path = write_catalogue(folder, **entries)
    # The same name and weights, so that nothing but the pixels differs.
    models = [replace(identified(catalogue_model(name, path)), name="same") for name in entries]
    keys = [EmbeddingKey.of(IMAGE_ID, model) for model in models]
    assert len({key.preprocessing for key in keys}) == len(entries)
    assert len({key.redis_key for key in keys}) == len({key.job_id for key in keys}) == len(entries)


@pytest.mark.parametrize("given", ["0" * 64, hashlib.sha256(b"cells.pth").hexdigest()])
def test_a_digest_is_checked_where_it_is_given(folder: Path, given: str) -> None:
    path = write_catalogue(folder, cells={**CELLS, "sha256": given})
    model = catalogue_model("cells", path)
    if given != "0" * 64:
        assert identified(model).checkpoint is not None
        return
    with pytest.raises(WeightsError) as refusal:
        identified(model)
    actual = hashlib.sha256(b"cells.pth").hexdigest()
    assert refusal.value.detail == (
        f"SAM_CATALOGUE={path}: models.cells, sha256: expected {given}, and that of {folder / 'cells.pth'} is {actual}"
    )


def test_the_digest_of_an_onnx_entry_is_its_encoders(folder: Path) -> None:
    path = write_catalogue(folder, pair={**PAIR, "sha256": hashlib.sha256(b"e.onnx").hexdigest()})
    assert identified(catalogue_model("pair", path)).encoder is not None
    path = write_catalogue(folder, pair={**PAIR, "sha256": hashlib.sha256(b"d.onnx").hexdigest()})
    with pytest.raises(WeightsError, match=r"models.pair, sha256: expected .*, and that of .*e.onnx is"):
        identified(catalogue_model("pair", path))


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        {**CELLS, "weigths": "x"},
        "models.m: unknown key 'weigths'; with architecture = 'vit_b', expected only architecture",
    ),
    ({**CELLS, "encoder": "e.onnx"}, "models.m: unknown key 'encoder'; with architecture = 'vit_b'"),
    ({**PAIR, "weights": "cells.pth"}, "models.m: unknown key 'weights'; with architecture = 'onnx'"),
    ({"weights": "cells.pth"}, "models.m, architecture: expected one of onnx, mobile_sam, vit_b, vit_l, vit_h"),
    ({**CELLS, "architecture": "vit_x"}, "models.m, architecture: expected one of onnx, mobile_sam, .*, not 'vit_x'"),
    ({**CELLS, "architecture": "fake"}, "models.m, architecture: expected one of .*, not 'fake'"),
    ({**CELLS, "architecture": 7}, "models.m, architecture: expected one of .*, not 7"),
    ({"architecture": "vit_b"}, "models.m, weights: expected a path relative to the catalogue, not nothing"),
    ({**CELLS, "weights": ["a"]}, "models.m, weights: expected a path relative to the catalogue, not \\['a'\\]"),
    ({**CELLS, "weights": "gone.pth"}, "models.m, weights: expected an existing path, and .*/gone.pth is missing"),
    ({**CELLS, "weights": "a\0b"}, "models.m, weights: expected "),
    (
        {**CELLS, "weights": "notes.txt"},
        "models.m, weights: expected a file that ends in .pth or .pt or .safetensors, not",
    ),
    (
        {"architecture": "mobile_sam", "weights": "cells.pth"},
        "models.m, weights: expected a folder with encoder.onnx and",
    ),
    ({"architecture": "mobile_sam", "weights": "empty"}, "models.m, weights: expected a folder with encoder.onnx and"),
    ({**CELLS, "sha256": "ABC"}, "models.m, sha256: expected 64 digits of lower-case hex, not 'ABC'"),
    (
        {"architecture": "mobile_sam", "weights": "pair", "sha256": "0" * 64},
        "models.m, sha256: expected no digest, because",
    ),
    ({**CELLS, "pixels": "stretch"}, "models.m, pixels: expected 'plain' or 'minmax', not 'stretch'"),
    ({**CELLS, "title": ""}, "models.m, title: expected 1 to 200 printable characters, not ''"),
    ({**CELLS, "licence": "MIT\n"}, "models.m, licence: expected 1 to 200 printable characters"),
    ({**PAIR, "encoder": "gone.onnx"}, "models.m, encoder: expected an existing path, and .*/gone.onnx is missing"),
    ({**PAIR, "encoder": "cells.pth"}, "models.m, encoder: expected a file that ends in .onnx, not"),
    ({**PAIR, "encoder": "pair"}, "models.m, encoder: expected a file that ends in .onnx, not"),
    ({**PAIR, "decoder": "notes.txt"}, "models.m, decoder: expected a file that ends in .onnx or .pth or .pt or"),
    ({**PAIR, "side": 512.0}, "models.m, side: expected a whole number of pixels from 64 to 4096, .*, not 512.0"),
    ({**PAIR, "side": True}, "models.m, side: expected a whole number of pixels from 64 to 4096, .*, not True"),
    ({**PAIR, "side": 16}, "models.m, side: expected a whole number of pixels from 64 to 4096, .*, not 16"),
    ({**PAIR, "mean": [1, 2]}, "models.m, mean: expected three numbers for R, G and B, .*, not \\[1, 2\\]"),
    ({**PAIR, "mean": [1, 2, "3"]}, "models.m, mean: expected three numbers"),
    ({**PAIR, "mean": 1}, "models.m, mean: expected three numbers"),
    ({**PAIR, "std": [1, 0, 1]}, "models.m, std: expected three numbers above 0, not \\[1.0, 0.0, 1.0\\]"),
    (
        {key: value for key, value in PAIR.items() if key != "std"},
        "models.m, std: expected three numbers .*, not nothing",
    ),
]


@pytest.mark.parametrize(("table", "says"), WRONG, ids=range(len(WRONG)))
def test_a_mistake_in_an_entry_is_one_sentence(folder: Path, table: dict[str, Any], says: str) -> None:
    path = write_catalogue(folder, fine=CELLS, m=table)
    with pytest.raises(ConfigurationError, match=says) as refusal:
        known_models(Settings(catalogue=str(path)))
    assert refusal.value.detail.startswith(f"SAM_CATALOGUE={path}: models.m")
    assert "\n" not in refusal.value.detail


@pytest.mark.parametrize("name", ["Cells", "", "a" * 65, "a b", "a/b", "..", "-._", "zellen-ü", "a:b"])
def test_a_name_that_does_not_fit_urls_and_keys_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no name: expected 1 to 64 of a-z 0-9"):
        read_catalogue(write_catalogue(folder, **{name: CELLS}))


@pytest.mark.parametrize("name", ["a", "a" * 64, "0", "cells.v2", "..a", "-_-1"])
def test_any_name_of_these_characters_is_taken(folder: Path, name: str) -> None:
    assert list(read_catalogue(write_catalogue(folder, **{name: CELLS}))) == [name]


@pytest.mark.parametrize("name", list(REGISTRY))
def test_the_name_of_a_built_in_model_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"models\.{name}: this is the name of a built-in model"):
        read_catalogue(write_catalogue(folder, **{name: CELLS}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[models.a]\narchitecture = 'vit_b'\n[models.a]\n", "not valid TOML: .*twice"),
        ("[models.a\n", "not valid TOML: "),
        ("\xff", "not valid TOML: "),
        ("[model.a]\narchitecture = 'vit_b'\n", "unknown key 'model'; every model is a table"),
        ("models = 3\n", "models is no table"),
        ("[models]\na = 3\n", "models.a is no table: expected"),
        ("a = " + 5000 * "[", "not valid TOML: "),
        ("#" * (1 << 20) + "\n", "is larger than 1 MiB"),
    ],
    ids=["duplicate", "syntax", "encoding", "top level", "no table", "no entry", "nested", "large"],
)
def test_a_file_that_is_no_catalogue_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "catalogue.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=says) as refusal:
        read_catalogue(path)
    assert refusal.value.detail.startswith(f"SAM_CATALOGUE={path}")


def test_a_catalogue_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"SAM_CATALOGUE=.*/no.toml cannot be read: No such file"):
        known_models(Settings(catalogue=str(tmp_path / "no.toml")))


def test_an_empty_catalogue_adds_nothing(tmp_path: Path) -> None:
    assert read_catalogue(write_catalogue(tmp_path)) == {}


def test_two_places_for_the_weights_of_one_model_are_refused(folder: Path) -> None:
    path = str(write_catalogue(folder, cells=CELLS))
    with pytest.raises(ConfigurationError, match="SAM_WEIGHTS_PATH must be unset"):
        known_models(Settings(catalogue=path, model="cells", weights_path="/w"))
    assert "cells" in known_models(Settings(catalogue=path, model=VIT_B.name, weights_path="/w"))


def test_a_file_that_cannot_be_read_is_named_with_its_entry(folder: Path) -> None:
    model = catalogue_model("cells", write_catalogue(folder, cells=CELLS))
    (folder / "cells.pth").unlink()
    with pytest.raises(WeightsError, match=r"models.cells, weights: .*cells.pth cannot be read: No such file"):
        identified(model)


def test_a_folder_is_identified_by_its_weights_and_what_configures_them(folder: Path) -> None:
    (folder / "form").mkdir()
    (folder / "form" / "model.safetensors").write_bytes(b"weights")
    (folder / "form" / "config.json").write_bytes(b"{}")
    model = catalogue_model("cells", write_catalogue(folder, cells={**CELLS, "weights": "form"}))
    first = identified(model).weights_digest
    (folder / "form" / "README.md").write_text("words")
    assert identified(model).weights_digest == first
    (folder / "form" / "config.json").write_bytes(b"{ }")
    assert identified(model).weights_digest != first
