"""RemoteSamPredictor with the API in this process: what it sends, what it keeps, what it raises."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch

from samcache import AsyncRemoteSamPredictor, RemoteSamPredictor, SamCache, image_id_of
from samcache.arrays.pixels import png_of
from samcache.errors import ImageNotFound, ImageTooLarge, InvalidPrompt, ModelNotFound, UnsupportedImage
from tests.support.client_material import URL, AsyncInProcess, InProcess, jpeg, picture
from tests.support.world import World

POINT, LABEL = np.array([[40, 30]]), np.array([1])


@pytest.fixture
def service(world: World) -> InProcess:
    return InProcess(world)


@pytest.fixture
def http(service: InProcess) -> Iterator[httpx.Client]:
    with httpx.Client(transport=service) as client:
        yield client


@pytest.fixture
def predictor(http: httpx.Client) -> RemoteSamPredictor:
    return RemoteSamPredictor(URL, http=http)


def test_an_image_is_sent_once_however_often_it_is_set(predictor: RemoteSamPredictor, service: InProcess) -> None:
    predictor.set_image(picture())
    predictor.set_image(picture())
    assert service.asked.count("POST images") == 1
    assert predictor.original_size == (80, 120)
    assert predictor.input_size == (683, 1024)
    assert predictor.image_id == image_id_of(png_of(picture()))


def test_pixels_too_large_as_a_png_are_told_the_way_out() -> None:
    """A photo of 24 megapixels is too large as a PNG, but its JPEG is not."""

    def refuse(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"models": []})
        status, code = (413, "image-too-large") if request.method == "POST" else (404, "image-not-found")
        problem = {"status": status, "code": code, "detail": "at most 10 bytes", "max_bytes": 10}
        return httpx.Response(status, json=problem, headers={"Content-Type": "application/problem+json"})

    with httpx.Client(transport=httpx.MockTransport(refuse)) as http:
        predictor = RemoteSamPredictor(URL, http=http)
        with pytest.raises(ImageTooLarge, match=r"at most 10 bytes; .* set_image_file") as caught:
            predictor.set_image(picture())
        assert caught.value.extra == {"max_bytes": 10}
        with pytest.raises(ImageTooLarge, match=r"^at most 10 bytes$"):
            predictor.set_image_file(jpeg(picture()))


def test_bgr_and_rgb_of_one_image_are_one_image(predictor: RemoteSamPredictor) -> None:
    predictor.set_image(picture())
    rgb = predictor.image_id
    predictor.set_image(np.ascontiguousarray(picture()[..., ::-1]), image_format="BGR")
    assert predictor.image_id == rgb


def test_a_file_goes_as_it_is(predictor: RemoteSamPredictor, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(jpeg(picture()))
    predictor.set_image_file(tmp_path / "photo.jpg")
    by_path = predictor.image_id
    predictor.set_image_file(jpeg(picture()))
    assert predictor.image_id == by_path == image_id_of(jpeg(picture()))


def test_masks_scores_and_logits_have_the_shapes_and_types_of_the_original(predictor: RemoteSamPredictor) -> None:
    predictor.set_image(picture())
    masks, scores, logits = predictor.predict(POINT, LABEL)
    assert (masks.shape, masks.dtype) == ((3, 80, 120), np.bool_)
    assert (scores.shape, scores.dtype) == ((3,), np.float32)
    assert (logits.shape, logits.dtype) == ((3, 256, 256), np.float32)
    assert masks[0, 30, 40]
    single, _, _ = predictor.predict(POINT, LABEL, multimask_output=False)
    assert single.shape == (1, 80, 120)


def test_masks_and_their_logits_come_in_one_request(predictor: RemoteSamPredictor, http: httpx.Client) -> None:
    predictor.set_image(picture())
    sent: list[str] = []
    http.event_hooks["request"].append(lambda request: sent.append(request.url.path))
    predictor.predict(POINT, LABEL)
    assert sent == [f"/v1/images/{predictor.image_id}/masks"]


def test_logits_at_full_size_are_the_masks_where_positive(predictor: RemoteSamPredictor) -> None:
    predictor.set_image(picture())
    masks, _, _ = predictor.predict(POINT, LABEL)
    full, _, _ = predictor.predict(POINT, LABEL, return_logits=True)
    assert (full.shape, full.dtype) == ((3, 80, 120), np.float32)
    np.testing.assert_array_equal(full > 0, masks)


def test_logits_that_came_from_here_go_back_as_a_token(predictor: RemoteSamPredictor, http: httpx.Client) -> None:
    predictor.set_image(picture())
    _, scores, logits = predictor.predict(POINT, LABEL)
    best = logits[np.argmax(scores)][None]
    sent: list[bytes] = []
    http.event_hooks["request"].append(lambda request: sent.append(request.content))
    ours, _, _ = predictor.predict(POINT, LABEL, mask_input=best, multimask_output=False)
    assert all(b"mask_token" in body for body in sent)
    foreign = RemoteSamPredictor(URL, http=http)
    foreign.set_image(picture())
    theirs, _, _ = foreign.predict(POINT, LABEL, mask_input=best, multimask_output=False)
    assert b"mask_logits" in sent[-1]
    np.testing.assert_array_equal(ours, theirs)


def test_a_token_that_the_service_no_longer_takes_is_replaced_by_its_logits(service: InProcess) -> None:
    sent: list[bytes] = []

    def damage_tokens(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        body = re.sub(rb'("mask_token": ?")[^"]*', rb"\1no token at all", request.content)
        return service.handle_request(httpx.Request(request.method, request.url, content=body))

    with httpx.Client(transport=httpx.MockTransport(damage_tokens)) as http:
        predictor = RemoteSamPredictor(URL, http=http)
        predictor.set_image(picture())
        _, _, logits = predictor.predict(POINT, LABEL)
        sent.clear()
        masks, _, _ = predictor.predict(mask_input=logits[:1])
    assert masks.shape == (3, 80, 120)
    assert [b"mask_token" in body for body in sent] == [True, False]


def test_a_forgotten_image_is_uploaded_again_while_prompting(
    predictor: RemoteSamPredictor, http: httpx.Client, service: InProcess
) -> None:
    predictor.set_image(picture())
    before, _, _ = predictor.predict(POINT, LABEL)
    assert http.delete(f"{URL}/v1/images/{predictor.image_id}").status_code == 204
    after, _, _ = predictor.predict(POINT, LABEL)
    np.testing.assert_array_equal(before, after)
    assert service.asked.count("POST images") == 2


def test_the_embedding_is_fetched_once_and_again_for_another_image(
    predictor: RemoteSamPredictor, service: InProcess
) -> None:
    predictor.set_image(picture())
    first = predictor.get_image_embedding()
    assert predictor.get_image_embedding() is first
    assert (first.shape, first.dtype) == ((1, 256, 64, 64), np.float32)
    assert service.asked.count("GET embeddin") == 1
    predictor.set_image(picture(90, 90))
    assert not np.array_equal(predictor.get_image_embedding(), first)


def test_arrays_in_give_arrays_out_and_tensors_tensors(predictor: RemoteSamPredictor) -> None:
    predictor.set_image(picture())
    boxes = np.array([[30.0, 20, 60, 40], [0, 0, 50, 50], [1, 2, 3, 4]])
    frame = predictor.transform.apply_boxes(boxes, predictor.original_size)
    masks, scores, logits = predictor.predict_torch(None, None, frame, multimask_output=False)
    assert (masks.shape, scores.shape, logits.shape) == ((3, 1, 80, 120), (3, 1), (3, 1, 256, 256))
    tensors = predictor.predict_torch(None, None, torch.tensor(frame), multimask_output=False)
    assert [tensor.dtype for tensor in tensors] == [torch.bool, torch.float32, torch.float32]
    for tensor, array in zip(tensors, (masks, scores, logits), strict=True):
        np.testing.assert_array_equal(tensor.numpy(), array)
    one, _, _ = predictor.predict(box=boxes[0], multimask_output=False)
    np.testing.assert_array_equal(one, masks[0])


def test_a_batch_larger_than_a_request_is_cut_up(predictor: RemoteSamPredictor, service: InProcess) -> None:
    predictor.set_image(picture())
    points = np.tile(predictor.transform.apply_coords(POINT, predictor.original_size), (40, 1, 1))
    masks, _, _ = predictor.predict_torch(points, np.ones((40, 1), np.int64), multimask_output=False)
    assert masks.shape == (40, 1, 80, 120)
    assert service.asked.count("POST masks") == 3


@pytest.mark.parametrize(
    "prompt",
    [
        {"point_coords": np.zeros(2), "point_labels": LABEL},
        {"box": np.zeros((2, 4))},
        {"mask_input": np.zeros((256, 256))},
    ],
)
def test_an_array_of_another_shape_is_named(predictor: RemoteSamPredictor, prompt: dict[str, np.ndarray]) -> None:
    predictor.set_image(picture())
    with pytest.raises(ValueError, match="shape"):
        predictor.predict(**prompt)


@pytest.mark.parametrize("labels", [[2], [3], [2, 2], [2, 3, 3], [1, 5], [-2]])
def test_labels_without_a_meaning_are_refused(predictor: RemoteSamPredictor, labels: list[int]) -> None:
    predictor.set_image(picture())
    with pytest.raises(ValueError, match="labels are 1"):
        predictor.predict(np.full((len(labels), 2), 30), np.array(labels))


def test_corners_among_the_points_and_a_box_are_one_box_too_many(predictor: RemoteSamPredictor) -> None:
    predictor.set_image(picture())
    with pytest.raises(ValueError, match="labels are 1"):
        predictor.predict(np.array([[1, 1], [9, 9]]), np.array([2, 3]), np.array([1, 1, 9, 9]))


def test_the_most_points_of_a_prompt_are_named(predictor: RemoteSamPredictor) -> None:
    predictor.set_image(picture())
    many = np.tile(POINT, (65, 1))
    with pytest.raises(InvalidPrompt, match=r"65 points.* at most 64"):
        predictor.predict(many, np.ones(65, np.int64))
    with pytest.raises(InvalidPrompt, match=r"65 points.* at most 64"):
        predictor.predict(many[:63], np.ones(63, np.int64), np.array([9, 9, 1, 1]))
    assert predictor.predict(many[:64], np.ones(64, np.int64))[0].shape == (3, 80, 120)


def test_a_batch_with_many_points_is_split_into_requests(predictor: RemoteSamPredictor, service: InProcess) -> None:
    predictor.set_image(picture())
    points = np.tile(predictor.transform.apply_coords(POINT, predictor.original_size), (33, 64, 1))
    masks, _, _ = predictor.predict_torch(points, np.ones((33, 64), np.int64), multimask_output=False)
    assert masks.shape == (33, 1, 80, 120)
    assert service.asked.count("POST masks") == 3


def test_batches_of_different_sizes_are_refused(predictor: RemoteSamPredictor) -> None:
    predictor.set_image(picture())
    with pytest.raises(ValueError, match="different sizes"):
        predictor.predict_torch(np.zeros((2, 1, 2)), np.ones((2, 1)), np.ones((3, 4)))
    with pytest.raises(ValueError, match="labels"):
        predictor.predict_torch(np.zeros((2, 1, 2)), np.ones((1, 1)))


def test_what_only_the_service_can_judge_is_its_typed_error(predictor: RemoteSamPredictor, http: httpx.Client) -> None:
    predictor.set_image(picture())
    with pytest.raises(InvalidPrompt, match="outside"):
        predictor.predict(np.array([[5000, 0]]), LABEL)
    with pytest.raises(InvalidPrompt):
        predictor.predict()
    with pytest.raises(UnsupportedImage):
        predictor.set_image_file(b"no image")
    assert not predictor.is_image_set
    with pytest.raises(ModelNotFound):
        RemoteSamPredictor(URL, model="unheard", http=http).set_image(picture())


@pytest.mark.parametrize("image", [picture()[..., 0], picture()[..., :2]])
def test_an_image_without_three_channels_is_refused(predictor: RemoteSamPredictor, image: np.ndarray) -> None:
    with pytest.raises(AssertionError, match="HWC"):
        predictor.set_image(image)


def test_floats_are_no_image(predictor: RemoteSamPredictor) -> None:
    with pytest.raises(TypeError, match="uint8"):
        predictor.set_image(picture() / 255.0)


def test_tensors_cannot_be_set(predictor: RemoteSamPredictor) -> None:
    with pytest.raises(NotImplementedError, match="set_image"):
        predictor.set_torch_image(torch.zeros(1, 3, 1024, 1024), (80, 120))


def test_tools_find_what_they_read_of_a_predictor(predictor: RemoteSamPredictor) -> None:
    assert torch.zeros(1, device=predictor.device).device.type == "cpu"
    assert predictor.model.mask_threshold == 0
    assert predictor.model.image_encoder.img_size == predictor.transform.target_length == 1024
    assert predictor.transform.get_preprocess_shape(80, 120, 1024) == (683, 1024)
    with pytest.raises(RuntimeError, match="must be set"):
        _ = predictor.original_size


def test_asyncio_gives_the_same(predictor: RemoteSamPredictor, service: InProcess) -> None:
    predictor.set_image(picture())
    expected = predictor.predict(POINT, LABEL)
    frame = predictor.transform.apply_coords(POINT, predictor.original_size)[None]
    batch = predictor.predict_torch(torch.tensor(frame), torch.tensor(LABEL[None]))
    embedding = predictor.get_image_embedding()

    async def go() -> None:
        async with httpx.AsyncClient(transport=AsyncInProcess(service)) as http:
            other = AsyncRemoteSamPredictor(URL, http=http)
            with pytest.raises(RuntimeError, match="An image must be set"):
                await other.predict(POINT, LABEL)
            await other.set_image(picture())
            for ours, theirs in zip(await other.predict(POINT, LABEL), expected, strict=True):
                np.testing.assert_array_equal(ours, theirs)
            answer = await other.predict_torch(torch.tensor(frame), torch.tensor(LABEL[None]))
            assert all(torch.equal(ours, theirs) for ours, theirs in zip(answer, batch, strict=True))
            np.testing.assert_array_equal(await other.get_image_embedding(), embedding)
            await other.set_image_file(jpeg(picture()))
            assert other.image_id == image_id_of(jpeg(picture()))

    asyncio.run(go())


def test_the_low_level_client_says_where_an_image_is(http: httpx.Client) -> None:
    cache = SamCache(URL, http=http)
    data = jpeg(picture())
    with pytest.raises(ImageNotFound):
        cache.status(image_id_of(data))
    assert cache.upload(data).sent
    assert cache.status(image_id_of(data)).status == "ready"
    assert [model.name for model in cache.models()] == ["fake", "other"]
    assert cache.readiness().ready


def test_a_mask_of_the_image_is_a_prompt(predictor: RemoteSamPredictor) -> None:
    predictor.set_image(picture())
    mask = np.zeros((80, 120), bool)
    mask[25:38, 33:57] = True
    found, _, _ = predictor.predict(mask=mask, multimask_output=False)
    y, x = np.nonzero(found[0])
    assert 33 <= x.min() <= x.max() < 57
    assert 25 <= y.min() <= y.max() < 38
    with pytest.raises(ValueError, match=r"\(80, 120\)"):
        predictor.predict(mask=mask.T)


def test_masks_are_cleaned_if_it_is_asked_for(http: httpx.Client) -> None:
    cache = SamCache(URL, http=http)
    image_id = cache.upload(png_of(picture())).image_id
    cache.wait(image_id)
    prompt = {"points": POINT.tolist(), "labels": LABEL.tolist()}
    plain, kept = (
        cache.masks(image_id, [prompt], form="polygons", clean=clean, tolerance=tolerance)
        for clean, tolerance in ((None, 0), ({"keep": "largest", "fill_holes": 10_000}, 2))
    )
    for before, after in zip(plain.results[0], kept.results[0], strict=True):
        assert len(after.payload) <= 1 <= len(before.payload)
        assert after.token == before.token
    with pytest.raises(InvalidPrompt):
        cache.masks(image_id, [prompt], clean={"keep": "nothing"})
