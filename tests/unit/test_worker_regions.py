"""A region is encoded as a picture of its own that somebody cropped by hand."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from encoder_worker.decoding.decoder import Decoded, DecoderInProcess, Order
from encoder_worker.decoding.stretch import stretched
from encoder_worker.encoding.encode import EncodeImage
from encoder_worker.encoding.pictures import DecodedPictures
from encoder_worker.metrics.counting import WorkerMetrics
from shared.contract.errors import EncodeFailed, ImageExpired, InvalidImage
from shared.contract.keys import EmbeddingKey, image_key, preview_key, record_key
from shared.contract.models import FAKE, SAM2_1_TINY, Model
from shared.contract.region import Region
from shared.images.reading import decode_image
from shared.tensors.embedding import Tensors, decode_embedding
from tests.support import sample_images as sample
from tests.support.memory_events import MemoryEvents
from tests.support.memory_store import MemoryStore

REGION = Region(7, 11, 39, 31)
WIDTH, HEIGHT = 60, 40


class RecordingEncoder:
    """Keeps the frames that it is given, and gives zeros."""

    batch = 1

    def __init__(self, model: Model = FAKE) -> None:
        self.model = model
        self.frames: list[NDArray[Any]] = []

    def encode(self, images: Sequence[NDArray[Any]]) -> list[Tensors]:
        self.frames += images
        specs = self.model.architecture.tensors
        return [{spec.name: np.zeros(spec.shape, np.float32) for spec in specs} for _ in images]


@dataclass
class Desk:
    """The use case and the fakes it works with. It keeps decoded pictures."""

    encoder: RecordingEncoder = field(default_factory=RecordingEncoder)
    store: MemoryStore = field(default_factory=MemoryStore)
    events: MemoryEvents = field(default_factory=MemoryEvents)
    pictures: DecodedPictures = field(default_factory=lambda: DecodedPictures(1_000_000, 60))

    def __post_init__(self) -> None:
        self.metrics = WorkerMetrics()
        self.encode = EncodeImage(
            store=self.store,
            encoder=self.encoder,
            events=self.events,
            dtype="float16",
            ttl=60,
            max_pixels=1_000_000,
            metrics=self.metrics,
            pictures=self.pictures,
        )

    def regions_of(self, outcome: str) -> float:
        """How many regions had their picture `kept`, or `decoded` for them."""
        name = "sam_worker_region_pictures_total"
        return self.metrics.registry.get_sample_value(name, {"outcome": outcome}) or 0

    def upload(self, data: bytes, region: Region | None = REGION) -> EmbeddingKey:
        image_id = hashlib.sha256(data).hexdigest()
        self.store.put(image_key(image_id), data, 60)
        self.store.put(record_key(image_id), b"{}", 60)
        return EmbeddingKey.of(image_id, self.encoder.model, region)


def cropped(data: bytes) -> NDArray[np.uint8]:
    """What somebody crops out of the picture that the service shows."""
    whole = decode_image(data, max_pixels=1_000_000)
    return whole[REGION.y0 : REGION.y1, REGION.x0 : REGION.x1].copy()


def wide_grey() -> bytes:
    """A PNG of 16 bits, whose least and greatest values lie outside the region."""
    grey = np.asarray(sample.picture(WIDTH, HEIGHT, "L")).astype(np.uint16) * 16 + 500
    grey[0, 0], grey[-1, -1] = 0, 9_000
    return sample.raw_png(grey, depth=16, colour=0)


def half_clear() -> bytes:
    picture = sample.picture(WIDTH, HEIGHT, "RGBA")
    picture.putalpha(Image.linear_gradient("L").resize((WIDTH, HEIGHT)))
    return sample.saved(picture, "PNG")


FILES = {
    "JPEG": sample.jpeg(WIDTH, HEIGHT),
    "JPEG that is turned": sample.jpeg(HEIGHT, WIDTH, exif=sample.exif(6)),
    "PNG with transparency": half_clear(),
    "PNG of 16 bits": wide_grey(),
    "WEBP": sample.webp(WIDTH, HEIGHT),
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
@pytest.mark.parametrize("model", [FAKE, SAM2_1_TINY], ids=["longest side", "squash"])
def test_the_encoder_gets_the_frame_of_the_cropped_picture(model: Model, data: bytes) -> None:
    desk = Desk(RecordingEncoder(model))
    desk.encode(desk.upload(data))
    (frame,) = desk.encoder.frames
    np.testing.assert_array_equal(frame, model.encoder_frame.resize(cropped(data)))


def test_a_model_that_stretches_pixels_stretches_those_of_the_region_alone() -> None:
    model = replace(FAKE, stretch=True)
    desk = Desk(RecordingEncoder(model))
    data = sample.png(WIDTH, HEIGHT)
    desk.encode(desk.upload(data))
    (frame,) = desk.encoder.frames
    np.testing.assert_array_equal(frame, model.encoder_frame.resize(stretched(cropped(data))))
    whole = stretched(decode_image(data, max_pixels=1_000_000))
    assert not np.array_equal(stretched(cropped(data)), whole[REGION.y0 : REGION.y1, REGION.x0 : REGION.x1])


def test_it_is_stored_under_the_regions_key_with_the_size_of_the_whole_image() -> None:
    desk = Desk()
    key = desk.upload(sample.jpeg(WIDTH, HEIGHT))
    desk.encode(key)
    value = desk.store.get(key.redis_key)
    assert value is not None
    assert decode_embedding(value, key, FAKE.architecture.tensors).original == (HEIGHT, WIDTH)
    assert not desk.store.exists(replace(key, region=None).redis_key)


def test_those_who_wait_for_the_region_hear_of_it() -> None:
    desk = Desk()
    key = desk.upload(sample.jpeg(WIDTH, HEIGHT))
    desk.encode(key)
    assert desk.events.published == [
        ((key.image_id, FAKE.name, REGION.text), "encoding"),
        ((key.image_id, FAKE.name, REGION.text), "ready"),
    ]


def test_a_region_that_is_there_is_not_made_again_and_others_are() -> None:
    desk = Desk()
    key = desk.upload(sample.jpeg(WIDTH, HEIGHT))
    for _ in range(2):
        desk.encode(key)
    assert len(desk.encoder.frames) == 1
    desk.encode(replace(key, region=Region(0, 0, 16, 16)))
    desk.encode(replace(key, region=None))
    assert [frame.shape[:2] for frame in desk.encoder.frames] == [(640, 1024), (1024, 1024), (683, 1024)]


@pytest.mark.parametrize("corners", [(30, 20, 61, 40), (30, 20, 60, 41), (0, 0, 60, 40)], ids=str)
def test_a_region_that_is_no_part_of_the_image_is_refused(corners: tuple[int, int, int, int]) -> None:
    desk = Desk()
    key = desk.upload(sample.jpeg(WIDTH, HEIGHT), Region(*corners))
    with pytest.raises(EncodeFailed, match="no part of this 60x40 image"):
        desk.encode(key)
    assert not desk.store.exists(key.redis_key)
    assert not desk.encoder.frames


def test_an_image_deleted_while_a_region_is_encoded_leaves_nothing() -> None:
    desk = Desk()

    class DeletedMeanwhile(RecordingEncoder):
        def encode(self, images: Sequence[NDArray[Any]]) -> list[Tensors]:
            desk.store.delete(record_key(key.image_id))
            return super().encode(images)

    desk = Desk(DeletedMeanwhile())
    key = desk.upload(sample.jpeg(WIDTH, HEIGHT))
    desk.encode(key)
    assert not desk.store.exists(key.redis_key)


def test_bytes_that_are_gone_are_an_expired_image() -> None:
    desk = Desk()
    key = desk.upload(sample.jpeg(WIDTH, HEIGHT))
    desk.store.delete(image_key(key.image_id))
    with pytest.raises(ImageExpired):
        desk.encode(key)


def test_only_a_whole_image_gets_a_preview() -> None:
    desk = Desk()
    key = desk.upload(sample.saved(sample.picture(WIDTH, HEIGHT), "TIFF"))
    desk.encode(key)
    assert not desk.store.exists(preview_key(key.image_id))
    desk.encode(replace(key, region=None))
    assert desk.store.exists(preview_key(key.image_id))


def test_the_log_names_the_region(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="encoder_worker")
    desk = Desk()
    key = desk.upload(sample.jpeg(WIDTH, HEIGHT))
    desk.encode(key)
    (line,) = caplog.messages
    assert f"region {REGION.text} of image {key.image_id[:12]}" in line


# What is decoded once.

OTHERS = [Region(0, 0, 20, 20), Region(40, 20, 60, 40), Region(0, 10, 60, 26)]


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_further_regions_are_cut_out_of_the_picture_that_is_kept(data: bytes) -> None:
    desk = Desk()
    key = desk.upload(data)
    desk.encode(key)
    desk.store.delete(image_key(key.image_id))  # it is not even read again
    for region in OTHERS:
        desk.encode(replace(key, region=region))
    assert (desk.regions_of("decoded"), desk.regions_of("kept")) == (1, len(OTHERS))
    whole = decode_image(data, max_pixels=1_000_000)
    for frame, each in zip(desk.encoder.frames, [REGION, *OTHERS], strict=True):
        by_hand = whole[each.y0 : each.y1, each.x0 : each.x1].copy()
        np.testing.assert_array_equal(frame, FAKE.encoder_frame.resize(by_hand))


def test_without_room_for_pictures_each_region_decodes_its_own() -> None:
    desk = Desk(pictures=DecodedPictures(0, 60))
    key = desk.upload(sample.jpeg(WIDTH, HEIGHT))
    for region in OTHERS:
        desk.encode(replace(key, region=region))
    assert (desk.regions_of("decoded"), desk.regions_of("kept")) == (len(OTHERS), 0)


def test_a_region_of_a_deleted_image_is_refused_and_its_pixels_are_forgotten() -> None:
    desk = Desk()
    key = desk.upload(sample.jpeg(WIDTH, HEIGHT))
    desk.encode(key)
    for name in (image_key(key.image_id), record_key(key.image_id), key.redis_key):
        desk.store.delete(name)
    assert desk.pictures.size
    with pytest.raises(ImageExpired, match="deleted"):
        desk.encode(replace(key, region=OTHERS[0]))
    assert desk.pictures.size == 0


def test_an_upload_is_kept_for_its_first_region_where_regions_come() -> None:
    desk = Desk()
    first = desk.upload(sample.png(WIDTH, HEIGHT), None)
    desk.encode(first)
    assert desk.pictures.size == 0
    desk.encode(replace(first, region=REGION))
    second = desk.upload(sample.jpeg(WIDTH, HEIGHT), None)
    desk.encode(second)
    desk.encode(replace(second, region=REGION))
    assert (desk.regions_of("decoded"), desk.regions_of("kept")) == (1, 1)


def test_a_whole_image_whose_picture_is_kept_gets_the_same_frame_and_its_preview() -> None:
    desk = Desk()
    data = sample.saved(sample.picture(WIDTH, HEIGHT), "TIFF")
    key = desk.upload(data)
    desk.encode(key)
    desk.encode(replace(key, region=None))
    np.testing.assert_array_equal(
        desk.encoder.frames[1], FAKE.encoder_frame.resize(decode_image(data, max_pixels=1_000_000))
    )
    assert desk.store.exists(preview_key(key.image_id))


def test_a_picture_that_cannot_be_decoded_is_tried_once_for_all_its_regions() -> None:
    desk = Desk()
    key = desk.upload(sample.png(WIDTH, HEIGHT)[:-60])
    with pytest.raises(InvalidImage) as first:
        desk.encode(key)
    with pytest.raises(InvalidImage) as second:
        desk.encode(replace(key, region=OTHERS[0]))
    assert second.value.detail == first.value.detail
    assert second.value is not first.value
    assert not desk.encoder.frames


def test_where_memory_is_short_the_kept_pictures_make_way(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    desk.encode(desk.upload(sample.png(WIDTH, HEIGHT)))
    assert desk.pictures.size

    def too_little(self: DecoderInProcess, data: bytes, order: Order) -> Decoded:
        raise MemoryError

    key = desk.upload(sample.jpeg(WIDTH, HEIGHT))
    with monkeypatch.context() as patch:
        patch.setattr(DecoderInProcess, "decode", too_little)
        with pytest.raises(MemoryError):
            desk.encode(key)
    assert desk.pictures.size == 0
    desk.encode(key)  # it is not the image's fault
    assert desk.store.exists(key.redis_key)
