"""Regions in the client, with the API in this process: prompts, refinement, embeddings, tiles."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from samcache import AsyncRemoteSamPredictor, AsyncSamCache, RemoteSamPredictor, SamCache, image_id_of
from samcache.arrays.logits import OUTSIDE
from samcache.arrays.pixels import png_of
from samcache.cli.tiles import MOST_TILES, tiles
from samcache.errors import ImageNotFound, InvalidParameter, InvalidPrompt
from tests.support.client_material import URL, AsyncInProcess, InProcess, picture
from tests.support.world import World

WIDTH, HEIGHT = 400, 300
PART = (90, 60, 250, 200)
POINT, LABEL = np.array([[150, 110]]), np.array([1])


class EncodingService(InProcess):
    """The API, with a worker that does what is queued after each request. It records the bodies of prompts."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.prompts: list[dict[str, Any]] = []
        self._worker = world

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/masks"):
            self.prompts.append(json.loads(request.read()))
        answer = super().handle_request(request)
        while True:
            try:
                self._worker.encode_next()
            except IndexError:  # nothing waits
                return answer


@pytest.fixture
def service(world: World) -> EncodingService:
    return EncodingService(world)


@pytest.fixture
def http(service: EncodingService) -> Iterator[httpx.Client]:
    with httpx.Client(transport=service) as client:
        yield client


@pytest.fixture
def predictor(http: httpx.Client) -> RemoteSamPredictor:
    predictor = RemoteSamPredictor(URL, http=http)
    predictor.set_image(picture(WIDTH, HEIGHT))
    return predictor


def outside(array: np.ndarray) -> np.ndarray:
    """The values of (..., H, W) that do not lie in `PART`."""
    x0, y0, x1, y1 = PART
    around = np.ones(array.shape[-2:], np.bool_)
    around[y0:y1, x0:x1] = False
    return array[..., around]


def test_a_region_answers_with_what_the_cropped_image_gives(predictor: RemoteSamPredictor, http: httpx.Client) -> None:
    masks, scores, logits = predictor.predict(POINT, LABEL, region=PART)
    assert masks.shape == (3, HEIGHT, WIDTH)
    assert masks.any()
    assert not outside(masks).any()
    x0, y0, x1, y1 = PART
    crop = RemoteSamPredictor(URL, http=http)
    crop.set_image(np.ascontiguousarray(picture(WIDTH, HEIGHT)[y0:y1, x0:x1]))
    cropped = crop.predict(POINT - (x0, y0), LABEL)
    np.testing.assert_array_equal(masks[:, y0:y1, x0:x1], cropped[0])
    np.testing.assert_allclose(scores, cropped[1], atol=1e-3)
    np.testing.assert_allclose(logits, cropped[2], atol=1e-2)


def test_the_predictor_says_what_answered(predictor: RemoteSamPredictor) -> None:
    predictor.predict(POINT, LABEL, region=np.array(PART))
    assert predictor.last_region == PART
    predictor.predict(POINT, LABEL)
    assert predictor.last_region is None


def test_logits_of_a_region_have_their_place_in_the_image(predictor: RemoteSamPredictor) -> None:
    masks, _, _ = predictor.predict(POINT, LABEL, region=PART)
    full, _, _ = predictor.predict(POINT, LABEL, region=PART, return_logits=True)
    np.testing.assert_array_equal(full > 0, masks)
    assert (outside(full) == OUTSIDE).all()


def test_logits_of_a_region_refine_in_that_region_alone(
    predictor: RemoteSamPredictor, service: EncodingService
) -> None:
    _, scores, logits = predictor.predict(POINT, LABEL, region=PART)
    best = logits[np.argmax(scores)][None]
    predictor.predict(POINT, LABEL, mask_input=best, region=PART)
    assert "mask_token" in service.prompts[-1]["prompts"][0]
    predictor.predict(POINT, LABEL, mask_input=best, region="auto")
    assert service.prompts[-1]["region"] == list(PART)
    for other in (None, (0, 0, 64, 64)):
        with pytest.raises(InvalidPrompt, match=r"of the region \[90, 60, 250, 200\]"):
            predictor.predict(POINT, LABEL, mask_input=best, region=other)
    _, _, whole = predictor.predict(POINT, LABEL)
    with pytest.raises(InvalidPrompt, match="of the whole image"):
        predictor.predict(POINT, LABEL, mask_input=whole[:1], region=PART)


def test_a_batch_is_answered_from_one_region(predictor: RemoteSamPredictor) -> None:
    points = np.array([[[150, 110]], [[200, 150]]])
    labels = np.ones((2, 1))
    frame = predictor.transform.apply_coords(points, predictor.original_size)
    masks, _, _ = predictor.predict_torch(frame, labels, region=PART)
    for number, point in enumerate(points):
        alone, _, _ = predictor.predict(point, np.array([1]), region=PART)
        np.testing.assert_array_equal(masks[number], alone)


@pytest.mark.parametrize("region", ["car", (1, 2, 3), (1.5, 2, 30, 40), 7, [0, 0, 9, None]], ids=str)
def test_what_is_no_region_is_refused_before_it_is_sent(
    predictor: RemoteSamPredictor, service: EncodingService, region: Any
) -> None:
    before = list(service.asked)
    with pytest.raises(ValueError, match="whole pixels"):
        predictor.predict(POINT, LABEL, region=region)
    assert service.asked == before


def test_a_region_that_the_image_does_not_have_is_the_services_typed_error(predictor: RemoteSamPredictor) -> None:
    with pytest.raises(InvalidParameter, match="all inside the 400x300 image"):
        predictor.predict(POINT, LABEL, region=(300, 200, 401, 300))


def test_asyncio_gives_the_same(predictor: RemoteSamPredictor, service: EncodingService) -> None:
    async def ask() -> tuple[np.ndarray, ...]:
        async with httpx.AsyncClient(transport=AsyncInProcess(service)) as http:
            other = AsyncRemoteSamPredictor(URL, http=http)
            await other.set_image(picture(WIDTH, HEIGHT))
            return await other.predict(POINT, LABEL, region=PART)

    for ours, theirs in zip(asyncio.run(ask()), predictor.predict(POINT, LABEL, region=PART), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_forgotten_image_is_uploaded_again_for_its_region(predictor: RemoteSamPredictor, http: httpx.Client) -> None:
    http.delete(f"{URL}/v1/images/{predictor.image_id}")
    masks, _, _ = predictor.predict(POINT, LABEL, region=PART)
    assert masks.any()


def test_regions_are_encoded_and_named(http: httpx.Client, service: EncodingService, world: World) -> None:
    data = png_of(picture(1200, 900))
    client = SamCache(URL, http=http)
    with pytest.raises(ImageNotFound):
        client.regions(image_id_of(data), [PART])
    found = client.regions(image_id_of(data), [PART, (0, 0, 1200, 900)], data=data)
    assert (found.width, found.height, found.settled) == (1200, 900, True)
    assert [(one.region, one.status) for one in found.regions] == [(PART, "ready"), (None, "ready")]
    around = client.regions(image_id_of(data), around=[(500, 400, 560.5, 450), (0, 0, 1100, 800)])
    (small, large) = around.regions
    assert small.region is not None
    assert (small.region[0] < 500, small.region[2] > 560.5) == (True, True)
    assert large.region is None
    embedding = client.embedding(image_id_of(data), region=small.region)
    assert embedding.shape == (1, 256, 64, 64)
    assert not np.array_equal(embedding, client.embedding(image_id_of(data)))
    assert [key.region and key.region.corners for key in world.encodes] == [None, PART, small.region]

    async def ask() -> Any:
        async with httpx.AsyncClient(transport=AsyncInProcess(service)) as asynchronous:
            return await AsyncSamCache(URL, http=asynchronous).regions(image_id_of(data), [PART])

    assert asyncio.run(ask()).regions[0].region == PART


@pytest.mark.parametrize("size", [(8660, 5773), (400, 300), (401, 16), (65_535, 700), (1, 1)], ids=str)
@pytest.mark.parametrize("thing", [16, 400, 900])
def test_tiles_cover_the_image_once(size: tuple[int, int], thing: int) -> None:
    width, height = size
    found = tiles(width, height, thing)
    assert len(found) <= MOST_TILES
    assert sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in found) == pytest.approx(width * height)
    assert (found[0][:2], found[-1][2:]) == ((0, 0), (width, height))
    longest = max(max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in found)
    count = -(-width // thing) * -(-height // thing)
    assert (longest <= thing) == (count <= MOST_TILES)
