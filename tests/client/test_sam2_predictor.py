"""`RemoteSAM2ImagePredictor` over an API with SAM 2's real decoder: it answers what Meta's predictor answered."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from samcache import RemoteSAM2ImagePredictor, RemoteSamPredictor, image_id_of
from samcache.arrays.pixels import png_of
from samcache.errors import InvalidPrompt, ModelNotFound
from tests.support.client_material import URL, InProcess
from tests.support.masks_material import logits_of_sam2
from tests.support.sam2_material import drawn_tensors
from tests.support.sam2_recorded import Asked, read, sampled_places
from tests.support.sam2_service import drawn_service
from tests.support.world import World

RECORD = read()
SMALL = ("portrait", "thumbnail", "strip")
"""The images whose prompts are asked. The decoder's own test asks those of all images."""
POINT, LABEL = np.array([[200.0, 300.0]]), np.array([1])

NOTHING: list[tuple[str, str | None]] = []
FLAGS = [("multimask_output", "True"), ("return_logits", "False"), ("normalize_coords", "True")]
SIGNATURES: dict[str, list[tuple[str, str | None]]] = {
    "set_image": [("image", None)],
    "set_image_batch": [("image_list", None)],
    "predict": [(name, "None") for name in ("point_coords", "point_labels", "box", "mask_input")] + FLAGS,
    "predict_batch": [(f"{name}_batch", "None") for name in ("point_coords", "point_labels", "box", "mask_input")]
    + FLAGS,
    "get_image_embedding": NOTHING,
    "reset_predictor": NOTHING,
}
"""What `inspect.signature` said of the methods of sam2 1.1.0 on 2026-11-27: each parameter and its default."""


def pixels(name: str) -> NDArray[np.uint8]:
    """Return an image of the size of a recorded one. What it shows does not matter: its embedding is drawn."""
    return np.zeros((*RECORD.images[name].original, 3), np.uint8)


@pytest.fixture(scope="module")
def http(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Return a connection to an API whose cache holds the embeddings of the `SMALL` images."""
    with drawn_service(valkey_url + "/6", tmp_path_factory.mktemp("weights"), RECORD) as service:
        for name in SMALL:
            service.put(image_id_of(png_of(pixels(name))), RECORD.images[name])
        with httpx.Client(transport=httpx.WSGITransport(app=service.client.application)) as http:
            yield http


@pytest.fixture
def predictor(http: httpx.Client) -> RemoteSAM2ImagePredictor:
    return RemoteSAM2ImagePredictor(URL, http=http)


@pytest.fixture
def seeing(predictor: RemoteSAM2ImagePredictor) -> RemoteSAM2ImagePredictor:
    predictor.set_image(pixels("portrait"))
    return predictor


def arguments(asked: Asked) -> dict[str, Any]:
    names = {"points": "point_coords", "labels": "point_labels", "box": "box"}
    found = {names[name]: np.array(value) for name, value in asked.fields.items()}
    return found | {"multimask_output": asked.multimask}


def test_the_methods_have_the_signatures_of_the_original() -> None:
    for name, expected in SIGNATURES.items():
        parameters = list(inspect.signature(getattr(RemoteSAM2ImagePredictor, name)).parameters.values())
        ours_alone = [each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY]
        expected_alone = {"predict": ["region", "mask"], "predict_batch": ["region"]}
        assert ours_alone == expected_alone.get(name, []), name
        parameters = parameters[: len(parameters) - len(ours_alone)]
        assert {parameter.kind for parameter in parameters} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
        empty = inspect.Parameter.empty
        ours = [(each.name, None if each.default is empty else repr(each.default)) for each in parameters]
        assert ours == [("self", None), *expected], name


@pytest.mark.parametrize("name", SMALL)
def test_each_recorded_prompt_is_answered_as_by_the_original(name: str, predictor: RemoteSAM2ImagePredictor) -> None:
    predictor.set_image(pixels(name))
    original = RECORD.images[name].original
    best = None
    cases = [case for case in RECORD.cases if case[0].image == name]
    assert len(cases) >= 27
    for asked, expected in cases:
        drawn = asked.mask_prompt()
        given = best if asked.refines else None if drawn is None else drawn[None]
        masks, scores, logits = predictor.predict(mask_input=given, **arguments(asked))
        best = logits[np.argmax(scores)][None]
        assert (masks.shape, masks.dtype) == (expected.masks.shape, np.float32)
        assert (scores.shape, scores.dtype) == (expected.scores.shape, np.float32)
        assert (logits.shape, logits.dtype) == ((len(masks), 256, 256), np.float32)
        assert np.isin(masks, (0, 1)).all()
        assert np.abs(logits).max() <= 32
        # A mask prompt of another predictor travels as float16.
        sent = drawn is not None
        np.testing.assert_allclose(scores, expected.scores, atol=1e-3 if sent else 1e-4)
        samples = logits.reshape(len(logits), -1)[:, sampled_places()]
        np.testing.assert_allclose(samples, expected.samples, rtol=2**-11, atol=0.05 if sent else 2e-3)
        for mask, theirs, low_res in zip(masks > 0, expected.masks, logits, strict=True):
            near_zero = np.abs(logits_of_sam2(low_res, original)) < (0.1 if sent else 0.02)
            assert not ((mask != theirs) & ~near_zero).any()
            assert (mask & theirs).sum() / (mask | theirs).sum() > (0.99 if sent else 0.9999)


def test_several_prompts_have_a_leading_axis(seeing: RemoteSAM2ImagePredictor) -> None:
    boxes = np.array([[10.0, 20, 300, 400], [50, 60, 200, 500]])
    points = np.array([[[100.0, 200]], [[150, 300]]])
    labels = np.array([[1], [0]])
    _, _, one = seeing.predict(box=boxes[0], multimask_output=False)
    for more in ({}, {"point_coords": points, "point_labels": labels}, {"mask_input": one}):
        for count, multimask in ((1, False), (3, True)):
            masks, scores, logits = seeing.predict(box=boxes, multimask_output=multimask, **more)
            assert (masks.shape, scores.shape) == ((2, count, 640, 427), (2, count))
            assert (logits.shape, masks.dtype) == ((2, count, 256, 256), np.float32)
        for number, box in enumerate(boxes):
            alone = {name: value[number] if name != "mask_input" else value for name, value in more.items()}
            expected, _, _ = seeing.predict(box=box, **alone)
            np.testing.assert_array_equal(masks[number], expected)
    single, _, _ = seeing.predict(box=boxes[:1], multimask_output=False)
    assert single.shape == (1, 640, 427)


def test_coordinates_may_be_fractions_of_the_image(seeing: RemoteSAM2ImagePredictor) -> None:
    size = np.array([427, 640])
    box = np.array([10.0, 20, 300, 400])
    expected, _, _ = seeing.predict(POINT, LABEL, box)
    found, _, _ = seeing.predict(POINT / size, LABEL, (box.reshape(2, 2) / size).reshape(4), normalize_coords=False)
    assert (found != expected).sum() <= 2


def test_a_pillow_image_is_the_same_image(predictor: RemoteSAM2ImagePredictor) -> None:
    predictor.set_image(Image.fromarray(pixels("portrait")))
    assert predictor.predict(POINT, LABEL)[0].shape == (3, 640, 427)


def test_a_batch_of_images(predictor: RemoteSAM2ImagePredictor) -> None:
    with pytest.raises(AssertionError, match="batched mode"):
        predictor.predict_batch()
    names = ["portrait", "strip"]
    points = [POINT, POINT / 20]
    predictor.set_image_batch([pixels(name) for name in names])
    masks, scores, logits = predictor.predict_batch(points, [LABEL, LABEL], multimask_output=False)
    assert [mask.shape for mask in masks] == [(1, *RECORD.images[name].original) for name in names]
    assert [each.shape for each in scores] == [(1,), (1,)]
    assert [each.shape for each in logits] == [(1, 256, 256)] * 2
    assert predictor.get_image_embedding().shape == (2, 256, 64, 64)
    last, _, _ = predictor.predict(points[1], LABEL, multimask_output=False)
    np.testing.assert_array_equal(last, masks[1])
    with pytest.raises(IndexError):
        predictor.predict_batch(points[:1], [LABEL, LABEL])
    predictor.set_image(pixels(names[0]))
    first, _, _ = predictor.predict(points[0], LABEL, multimask_output=False)
    np.testing.assert_array_equal(first, masks[0])


def test_the_embedding_is_that_of_the_cache(seeing: RemoteSAM2ImagePredictor) -> None:
    embedding = seeing.get_image_embedding()
    assert (embedding.shape, embedding.dtype) == ((1, 256, 64, 64), np.float32)
    expected = drawn_tensors(RECORD.images["portrait"].seed)["embedding"]
    np.testing.assert_allclose(embedding, expected, rtol=2**-11, atol=1e-5)


def test_without_an_image_the_errors_are_those_of_the_original(seeing: RemoteSAM2ImagePredictor) -> None:
    assert torch.zeros(1, device=seeing.device).device.type == "cpu"
    seeing.reset_predictor()
    with pytest.raises(RuntimeError, match=r"An image must be set with \.set_image\(\.\.\.\) before mask prediction\."):
        seeing.predict(POINT, LABEL)
    with pytest.raises(RuntimeError, match=r"set with \.set_image\(\.\.\.\) to generate an embedding\."):
        seeing.get_image_embedding()


def test_wrong_images_are_refused(predictor: RemoteSAM2ImagePredictor) -> None:
    with pytest.raises(NotImplementedError, match="Image format not supported"):
        predictor.set_image("photo.jpg")  # type: ignore[arg-type]
    for image in (pixels("strip")[..., 0], Image.new("RGBA", (9, 9)), Image.new("L", (9, 9))):
        with pytest.raises(AssertionError, match="HWC"):
            predictor.set_image(image)
    with pytest.raises(AssertionError):
        predictor.set_image_batch(pixels("strip"))  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        predictor.set_image_batch([Image.new("RGB", (9, 9))])  # type: ignore[list-item]


def test_wrong_prompts_are_refused(seeing: RemoteSAM2ImagePredictor) -> None:
    with pytest.raises(AssertionError, match=r"point_labels must be supplied if point_coords is supplied\."):
        seeing.predict(POINT)
    with pytest.raises(NotImplementedError, match="return_logits=True is not possible here"):
        seeing.predict(POINT, LABEL, return_logits=True)
    for wrong in ({"box": np.zeros(3)}, {"mask_input": np.zeros((256, 256))}, {"box": np.zeros((2, 4))}):
        with pytest.raises(ValueError, match=r"shape|different sizes"):
            seeing.predict(POINT, LABEL, **wrong)
    with pytest.raises(InvalidPrompt):
        seeing.predict()


def test_a_model_of_another_frame_is_refused_with_the_name_of_its_class(http: httpx.Client, world: World) -> None:
    with pytest.raises(ValueError, match=r"sam2_test, whose frame is squash: use RemoteSAM2ImagePredictor"):
        RemoteSamPredictor(URL, http=http).set_image(pixels("strip"))
    with httpx.Client(transport=InProcess(world)) as sam:
        refused = RemoteSAM2ImagePredictor(URL, http=sam)
        with pytest.raises(ValueError, match=r"whose frame is longest_side: use RemoteSamPredictor"):
            refused.set_image(pixels("strip"))
    with pytest.raises(ModelNotFound):
        RemoteSAM2ImagePredictor(URL, model="unheard", http=http).set_image(pixels("strip"))
