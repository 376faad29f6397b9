"""safetensors files are read without code, and only if header and data agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.contract.errors import WeightsError
from shared.weights.safetensors import read_tensors, tensor_names
from shared.weights.state_names import common_prefix
from tests.support.catalogue import write_safetensors

ARRAYS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([1.5, -2], np.float16),
    "c": np.array(7, np.int64),
    "d": np.zeros((0, 4), np.float64),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_safetensors(tmp_path / "w.safetensors", ARRAYS)


def test_what_is_written_is_read(path: Path) -> None:
    read = read_tensors(path)
    assert tensor_names(path) == list(read) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
        read[name][...] = 0  # memory of its own


def test_only_what_is_wanted_is_read(path: Path) -> None:
    assert list(read_tensors(path, lambda name: name.startswith("a."))) == ["a.weight"]


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def rewritten(path: Path, header: object, data: bytes) -> Path:
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_bfloat16_becomes_float32_without_loss(path: Path) -> None:
    values = np.array([1.0, -0.0078125, 3.0e38, np.inf], np.float32)
    halves = (values.view("<u4") >> 16).astype("<u2")
    about = {"w": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}
    (array,) = read_tensors(rewritten(path, about, halves.tobytes())).values()
    expected = (halves.astype("<u4") << 16).view("<f4").reshape(2, 2)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, expected)
    assert array[0, 0] == 1


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "dtype": lambda header: header["b"].update(dtype="F8_E4M3"),
    "shape": lambda header: header["b"].update(shape=[3]),
    "negative": lambda header: header["b"].update(shape=[-2]),
    "text": lambda header: header["b"].update(shape="2"),
    "overlap": lambda header: header["b"].update(data_offsets=[0, 4]),
    "outside": lambda header: header["b"].update(data_offsets=[1000, 1004]),
    "gap": lambda header: header.pop("b"),
    "no offsets": lambda header: header["b"].pop("data_offsets"),
    "no table": lambda header: header.update(b=3),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_header_that_does_not_fit_the_data_is_refused(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    header, data = header_of(path)
    change(header)
    with pytest.raises(WeightsError, match=r"w\.safetensors is no safetensors file, or is damaged"):
        read_tensors(rewritten(path, header, data))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:5],
        lambda data: b"",
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: data[:8] + b"[" + data[9:],
        lambda data: b"<html>Not found</html>",
    ],
    ids=["cut", "longer", "no header", "empty", "endless header", "no json", "html"],
)
def test_a_damaged_file_is_refused(path: Path, damage: Callable[[bytes], bytes]) -> None:
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(WeightsError, match=r"w\.safetensors is no safetensors file, or is damaged"):
        tensor_names(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no\.safetensors cannot be read: No such file"):
        read_tensors(tmp_path / "no.safetensors")


def test_the_prefix_of_a_training_program_is_found() -> None:
    assert common_prefix(["sam.m.w", "sam.m.b", "head.w"], "m.w") == "sam."
    assert common_prefix(["module.sam.m.w"], "m.w") == "module.sam."
    assert common_prefix(["m.w", "pixel_mean"], "m.w") == ""
    assert common_prefix(["xm.w"], "m.w") == ""
    with pytest.raises(WeightsError, match=r"not clear which weights are meant: it has ema\.m\.w and model\.m\.w"):
        common_prefix(["model.m.w", "ema.m.w"], "m.w")
