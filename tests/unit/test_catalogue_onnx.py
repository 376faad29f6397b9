"""ONNX encoders with a side and pixel statistics of their own, and what is refused when a worker loads one."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image

from encoder_worker.backends.fake.encoder import FakeEncoder
from encoder_worker.backends.load import export_decoder, load_encoder
from encoder_worker.backends.onnx import openvino
from encoder_worker.decoding.stretch import stretched
from encoder_worker.encoding.encode import EncodeImage
from encoder_worker.encoding.encoder import Encoder
from shared.contract.errors import ConfigurationError, WeightsError
from shared.contract.frames import LongestSide
from shared.contract.keys import EmbeddingKey, image_key, record_key
from shared.contract.models import FAKE, SAM1, Model
from shared.contract.settings import Settings
from shared.tensors.embedding import decode_embedding
from shared.weights.entry_files import identified
from tests.support.catalogue import catalogue_model, write_catalogue
from tests.support.memory_events import MemoryEvents
from tests.support.memory_store import MemoryStore
from tests.support.small_encoders import patch_embedding, patch_kernel, write_patch_encoder

SIDE = 512
MEAN, STD = [10.0, 20.0, 30.0], [40.0, 50.0, 60.0]
SETTINGS = Settings(device="cpu", encoder_threads=1)


@pytest.fixture
def entry(tmp_path: Path) -> dict[str, Any]:
    """Return the table of an encoder of 512 pixels. Its decoder is not read here."""
    write_patch_encoder(tmp_path / "e.onnx", patch_kernel(SIDE), SIDE)
    (tmp_path / "d.onnx").write_bytes(b"not read by a worker")
    files = {"encoder": "e.onnx", "decoder": "d.onnx"}
    return {"architecture": "onnx", **files, "side": SIDE, "mean": MEAN, "std": STD}


def model_of(folder: Path, entry: dict[str, Any]) -> Model:
    return catalogue_model("small", write_catalogue(folder, small=entry))


def photo(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(20, 200, (height, width, 3), dtype=np.uint8)


def expected(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the embedding as the entry describes it, computed step by step."""
    resized = LongestSide(SIDE).resize(rgb)
    frame = np.zeros((1, 3, SIDE, SIDE), np.float32)
    normalised = (resized.astype(np.float32) - np.array(MEAN, "f4")) / np.array(STD, "f4")
    frame[0, :, : len(resized), : resized.shape[1]] = normalised.transpose(2, 0, 1)
    return patch_embedding(frame, patch_kernel(SIDE))


def embedding(encoder: Encoder, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what the worker's use case stores for an upload of these pixels."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG")
    data = buffer.getvalue()
    image_id = hashlib.sha256(data).hexdigest()
    store, key = MemoryStore(), EmbeddingKey.of(image_id, encoder.model)
    store.put(image_key(image_id), data, 60)
    store.put(record_key(image_id), b"{}", 60)
    EncodeImage(store=store, encoder=encoder, events=MemoryEvents(), dtype="float32", ttl=60, max_pixels=1_000_000)(key)
    value = store.get(key.redis_key)
    assert value is not None
    stored = decode_embedding(value, key, SAM1.tensors)
    assert stored.original == rgb.shape[:2]
    return stored.tensors["embedding"]


@pytest.mark.parametrize("pixels", ["plain", "minmax"])
def test_an_image_is_brought_to_the_encoders_own_input(tmp_path: Path, entry: dict[str, Any], pixels: str) -> None:
    encoder = load_encoder(model_of(tmp_path, {**entry, "pixels": pixels}), SETTINGS)
    rgb = photo(300, 700)
    wanted = expected(stretched(rgb) if pixels == "minmax" else rgb)
    np.testing.assert_allclose(embedding(encoder, rgb), wanted, atol=1e-4)


def test_a_built_in_architecture_is_stretched_too(tmp_path: Path) -> None:
    """The fake encoder's embedding shows the image that it got."""

    class Stretching(FakeEncoder):
        model = replace(FAKE, stretch=True)

    rgb = photo(64, 1024)
    for encoder, seen in ((FakeEncoder(), rgb), (Stretching(), stretched(rgb))):
        means = seen.reshape(4, 16, 64, 16, 3).mean(axis=(1, 3)) / 255
        np.testing.assert_allclose(embedding(encoder, rgb)[0, :3, :4], means.transpose(2, 0, 1), atol=1e-4)


def test_the_model_of_the_encoder_knows_its_digests(tmp_path: Path, entry: dict[str, Any]) -> None:
    model = model_of(tmp_path, entry)
    assert load_encoder(model, SETTINGS).model == identified(model)


@pytest.mark.parametrize("with_openvino", [True, False], ids=["OpenVINO", "ONNX Runtime"])
@pytest.mark.parametrize(
    ("batch", "gives"), [("N", None), (1, None), ("N", 1)], ids=["any", "one", "any in and one out"]
)
def test_a_graph_gets_no_more_images_at_once_than_it_takes(
    tmp_path: Path,
    entry: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    *,
    batch: int | str,
    gives: int | None,
    with_openvino: bool,
) -> None:
    if not with_openvino:
        monkeypatch.setattr(openvino, "is_installed", lambda: False)
    write_patch_encoder(tmp_path / "e.onnx", patch_kernel(SIDE), SIDE, batch=batch, gives=gives)
    encoder = load_encoder(model_of(tmp_path, entry), replace(SETTINGS, encode_batch=3))
    assert encoder.batch == 3
    photos = [LongestSide(SIDE).resize(photo(height, 700)) for height in (300, 500, 650)]
    together = encoder.encode(photos)
    for one, embedded in zip(photos, together, strict=True):
        (alone,) = encoder.encode([one])
        np.testing.assert_allclose(embedded["embedding"], alone["embedding"], atol=1e-4)


def with_nan(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    kernel[7, 1, 2, 2] = np.nan
    return kernel


GRAPHS: dict[str, tuple[Callable[[Path], object], str]] = {
    "side": (
        lambda path: write_patch_encoder(path, patch_kernel(1024), 1024),
        r"e\.onnx takes tensor\(float\) \(N, 3, 1024, 1024\): expected one input float32 \(1, 3, 512, 512\)",
    ),
    "channels": (
        lambda path: write_patch_encoder(path, patch_kernel(SIDE, channels=64), SIDE),
        r"e\.onnx gives tensor\(float\) \(N, 64, 64, 64\): expected one output float32 \(1, 256, 64, 64\)",
    ),
    "grid": (
        lambda path: write_patch_encoder(path, patch_kernel(1024), SIDE),
        r"e\.onnx gives tensor\(float\) \(N, 256, 32, 32\): expected one output",
    ),
    "not finite": (
        lambda path: write_patch_encoder(path, with_nan(patch_kernel(SIDE)), SIDE),
        r"e\.onnx does not work as an image encoder: .* not a finite embedding",
    ),
    "text": (lambda path: path.write_bytes(b"<html>"), r"e\.onnx is no ONNX graph that ONNX Runtime can run"),
    "empty": (lambda path: path.write_bytes(b""), r"e\.onnx is no ONNX graph that ONNX Runtime can run"),
}


@pytest.mark.parametrize(("write", "says"), GRAPHS.values(), ids=GRAPHS)
def test_another_graph_is_one_sentence(
    tmp_path: Path, entry: dict[str, Any], write: Callable[[Path], object], says: str
) -> None:
    write(tmp_path / "e.onnx")
    with pytest.raises(WeightsError, match=says) as refusal:
        load_encoder(model_of(tmp_path, entry), SETTINGS)
    assert refusal.value.detail.startswith(f"SAM_CATALOGUE={tmp_path / 'catalogue.toml'}: models.small, encoder: ")
    assert "\n" not in refusal.value.detail


def test_open_sizes_are_tried_out(tmp_path: Path, entry: dict[str, Any]) -> None:
    """A graph may leave all sizes open. Then only running it shows that it gives something else."""
    path = write_patch_encoder(tmp_path / "e.onnx", patch_kernel(1024), SIDE)
    opened = onnx.load(path)
    for value in (*opened.graph.input, *opened.graph.output):
        for axis in value.type.tensor_type.shape.dim:
            axis.dim_param = f"any_{value.name}_{id(axis)}"
    onnx.save(opened, path)
    with pytest.raises(WeightsError, match=r"models\.small, encoder: .* does not work as an image encoder"):
        load_encoder(model_of(tmp_path, entry), SETTINGS)
    write_patch_encoder(path, patch_kernel(SIDE), SIDE)
    assert load_encoder(model_of(tmp_path, entry), SETTINGS)


def test_a_wrong_digest_is_refused_before_anything_runs(tmp_path: Path, entry: dict[str, Any]) -> None:
    with pytest.raises(WeightsError, match=r"models\.small, sha256: expected 0{64}, and that of .*e\.onnx is"):
        load_encoder(model_of(tmp_path, {**entry, "sha256": "0" * 64}), SETTINGS)


def test_a_decoder_that_the_api_reads_itself_is_not_exported(tmp_path: Path, entry: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="needs no decoder file"):
        export_decoder(model_of(tmp_path, entry), SETTINGS)
