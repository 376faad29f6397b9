"""A worker whose device resizes pictures stores the same embeddings as one whose processors do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from encoder_worker.backends.on_torch import staging
from encoder_worker.backends.on_torch.encoder import TorchEncoder
from encoder_worker.backends.on_torch.resizing import Resizer
from encoder_worker.decoding.decoder import Decoder, DecoderInProcess
from encoder_worker.decoding.processes import DecodingProcesses
from encoder_worker.encoding.encode import EncodeImage
from encoder_worker.encoding.encoder import ResizingEncoder
from encoder_worker.encoding.pictures import DecodedPictures
from encoder_worker.encoding.pipeline import EncodePipeline
from shared.contract.errors import EncodeFailed
from shared.contract.frames import LongestSide, Squash
from shared.contract.keys import EmbeddingKey, image_key, record_key
from shared.contract.models import SAM2_1_TINY, VIT_B, Model
from shared.contract.region import Region
from tests.support import sample_images as sample
from tests.support.memory_events import MemoryEvents
from tests.support.memory_store import MemoryStore

CPU = torch.device("cpu")
FILES = {
    "JPEG": sample.jpeg(600, 400),
    "JPEG that is turned": sample.jpeg(400, 600, exif=sample.exif(6)),
    "larger than the frame": sample.jpeg(1500, 1100),
    "PNG with transparency": sample.saved(sample.picture(60, 40, "RGBA"), "PNG"),
    "WEBP": sample.webp(600, 400),
    "so tall that the host resizes it": sample.jpeg(300, 1500),
}


def averages(frames: Tensor) -> dict[str, Tensor]:
    """A network that gives the mean of 16x16 pixels, so that each place shows in the embedding."""
    shapes = {spec.name: spec.shape for spec in VIT_B.architecture.tensors}
    means = torch.nn.functional.avg_pool2d(frames, 16).mean(1, keepdim=True)
    return {name: means.expand(len(frames), *shape[1:]).contiguous() for name, shape in shapes.items()}


class Counting(Resizer):
    """Counts the pictures that it resizes."""

    def __init__(self, frame: LongestSide | Squash) -> None:
        super().__init__(frame, CPU)
        self.done = 0

    def resized(self, rgb: Tensor) -> Tensor:
        self.done += 1
        return super().resized(rgb)


class Desk:
    """The use case with a torch encoder."""

    def __init__(
        self, resizer: Resizer | None, decoder: Decoder | None = None, *, keeps: int = 0, model: Model = VIT_B
    ) -> None:
        self.store = MemoryStore()
        self.encode = EncodeImage(
            store=self.store,
            encoder=TorchEncoder(model, averages, CPU, batch=4, resizer=resizer),
            events=MemoryEvents(),
            dtype="float32",
            ttl=60,
            max_pixels=10_000_000,
            decoder=decoder or DecoderInProcess(),
            pictures=DecodedPictures(keeps, 60),
        )

    def upload(self, data: bytes, region: Region | None = None) -> EmbeddingKey:
        image_id = hashlib.sha256(data).hexdigest()
        self.store.put(image_key(image_id), data, 60)
        self.store.put(record_key(image_id), b"{}", 60)
        return EmbeddingKey.of(image_id, self.encode.encoder.model, region)

    def stored(self, data: bytes, region: Region | None = None) -> bytes:
        key = self.upload(data, region)
        self.encode(key)
        value = self.store.get(key.redis_key)
        assert value is not None
        return value


@pytest.fixture
def resizer() -> Counting:
    assert isinstance(VIT_B.encoder_frame, LongestSide)
    return Counting(VIT_B.encoder_frame)


@pytest.fixture(scope="module")
def processes() -> Iterator[DecodingProcesses]:
    with closing(DecodingProcesses(1, patience=60)) as made:
        yield made


@pytest.mark.parametrize("name", FILES)
def test_an_image_has_the_same_embedding(name: str, resizer: Counting, processes: DecodingProcesses) -> None:
    data = FILES[name]
    expected = Desk(None).stored(data)
    assert Desk(resizer).stored(data) == expected
    assert Desk(resizer, processes).stored(data) == expected
    assert resizer.done == (0 if "tall" in name else 2)


def test_a_region_has_the_same_embedding_however_its_picture_is_at_hand(resizer: Counting) -> None:
    data, region = FILES["larger than the frame"], Region(100, 50, 1300, 900)
    expected = Desk(None).stored(data, region)
    desk = Desk(resizer, keeps=10_000_000)
    assert desk.stored(data, region) == expected
    assert desk.stored(data) == Desk(None).stored(data), "of the kept picture, which must not be written"
    assert resizer.done == 2


def test_a_model_that_stretches_pixels_has_the_same_embedding(resizer: Counting) -> None:
    model = replace(VIT_B, stretch=True)
    data = FILES["JPEG"]
    assert Desk(resizer, model=model).stored(data) == Desk(None, model=model).stored(data)
    assert resizer.done == 0


def test_images_of_both_kinds_share_a_batch(resizer: Counting) -> None:
    desk = Desk(resizer)
    with closing(EncodePipeline(desk.encode)) as pipeline:
        keys = [desk.upload(data) for data in FILES.values()]
        for done in [pipeline.submit(key) for key in keys]:
            done.result(timeout=60)
    plain = Desk(None)
    assert [desk.store.get(key.redis_key) for key in keys] == [plain.stored(data) for data in FILES.values()]
    assert resizer.done == len(FILES) - 1


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        pytest.param(RuntimeError("CUDA error: out of memory\nmore"), id="page-locked memory"),
    ],
)
def test_the_host_resizes_what_there_is_no_memory_for(
    error: Exception, caplog: pytest.LogCaptureFixture, resizer: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(rgb: Tensor) -> Tensor:
        raise error

    monkeypatch.setattr(resizer, "resized", full)
    assert Desk(resizer).stored(FILES["JPEG"]) == Desk(None).stored(FILES["JPEG"])
    assert "a processor resizes a picture" in caplog.text


def test_a_device_that_fails_fails_the_image(resizer: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(rgb: Tensor) -> Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(resizer, "resized", broken)
    desk = Desk(resizer)
    with pytest.raises(EncodeFailed, match="illegal memory access"):
        desk.encode(desk.upload(FILES["JPEG"]))
    assert staging._COPIED_AT_ONCE > 1
    for _ in range(staging._COPIED_AT_ONCE):  # none of them keeps its place
        with pytest.raises(EncodeFailed):
            desk.encode(desk.upload(FILES["JPEG"]))


def test_frames_of_sam2_are_resized_too() -> None:
    frame = SAM2_1_TINY.encoder_frame
    assert isinstance(frame, Squash)
    encoder = TorchEncoder(SAM2_1_TINY, averages, CPU, resizer=Resizer(frame, CPU))
    assert isinstance(encoder, ResizingEncoder)
    assert encoder.resizes((1500, 300))
    picture = np.asarray(sample.picture(300, 200, "RGB"))
    np.testing.assert_allclose(encoder.resized(picture), frame.resize(picture), rtol=2e-7, atol=2e-5)


def test_without_a_resizer_nothing_goes_to_the_device() -> None:
    assert not TorchEncoder(VIT_B, averages, CPU).resizes((10, 10))
