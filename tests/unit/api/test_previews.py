"""The previews of images that not every browser shows."""

from __future__ import annotations

import hashlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from shared.contract.keys import EmbeddingKey, preview_key
from shared.contract.models import FAKE
from shared.images.preview import LONGEST_SIDE
from shared.images.reading import decode_image
from tests.support import sample_images as sample
from tests.support.world import World, new_world, png

GREY = Image.fromarray(np.arange(0, 2400, dtype=np.uint16).reshape(40, 60))

SHOWN_BY_US = {
    "TIFF": sample.saved(sample.picture(), "TIFF", exif=sample.exif(6)),
    "large TIFF": sample.saved(sample.picture(3000, 40), "TIFF"),
    "HEIC": sample.heic(),
    "16-bit grey TIFF": sample.saved(GREY, "TIFF"),
    "16-bit grey PNG": sample.saved(GREY, "PNG"),
}
SHOWN_BY_BROWSERS = {
    "JPEG": sample.jpeg(),
    "PNG": png(),
    "WEBP": sample.webp(),
    "BMP": sample.saved(sample.picture(), "BMP"),
    "AVIF": sample.saved(sample.picture(), "AVIF"),
}


@pytest.fixture
def world() -> World:
    return new_world()


@pytest.mark.parametrize("data", SHOWN_BY_US.values(), ids=SHOWN_BY_US.keys())
def test_a_preview_is_the_upright_picture_as_the_service_sees_it(world: World, data: bytes) -> None:
    image_id = world.ready_image(data)
    answer = world.client.get(f"/v1/images/{image_id}/preview")
    assert (answer.status_code, answer.content_type) == (200, "image/jpeg")
    expected = Image.fromarray(decode_image(data, max_pixels=10**6))
    with Image.open(BytesIO(answer.data)) as preview:
        assert max(preview.size) <= LONGEST_SIDE
        assert preview.width / preview.height == pytest.approx(expected.width / expected.height, rel=0.05)
        small = np.asarray(expected.resize(preview.size), float)
        assert np.abs(np.asarray(preview, float) - small).mean() < 8


@pytest.mark.parametrize("data", SHOWN_BY_BROWSERS.values(), ids=SHOWN_BY_BROWSERS.keys())
def test_what_browsers_show_has_no_preview(world: World, data: bytes) -> None:
    image_id = world.ready_image(data)
    answer = world.client.get(f"/v1/images/{image_id}/preview")
    assert (answer.status_code, answer.json["code"]) == (404, "image-not-found")
    assert world.store.get(preview_key(image_id)) is None


def test_a_preview_that_was_evicted_is_made_again_with_its_embedding(world: World) -> None:
    data = SHOWN_BY_US["TIFF"]
    path = f"/v1/images/{hashlib.sha256(data).hexdigest()}/preview"
    image_id = world.ready_image(data)
    world.store.delete(preview_key(image_id))
    world.queue.forget(EmbeddingKey.of(image_id, FAKE))
    assert world.client.get(path).json["code"] == "embedding-pending"
    world.encode_next()
    assert world.client.get(path).status_code == 200


def test_a_preview_waits_for_its_encoding_and_goes_with_its_image(world: World) -> None:
    data = SHOWN_BY_US["HEIC"]
    image_id = world.client.post("/v1/images", data=data).json["image_id"]
    path = f"/v1/images/{image_id}/preview"
    assert world.client.get(path).status_code == 409
    world.encode_next()
    assert world.client.get(path).status_code == 200
    assert world.client.delete(f"/v1/images/{image_id}").status_code == 204
    assert world.client.get(path).status_code == 404
    assert world.store.get(preview_key(image_id)) is None
