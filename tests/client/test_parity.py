"""The same tests for two predictors: segment_anything's SamPredictor and ours.

Both use real MobileSAM weights. Ours goes through a running service: HTTP, Valkey, a worker.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch

from tests.client.predictors import OnnxImageEncoder, least_iou, official_sam
from tests.support.reference import SamPredictor

COFFEE = skimage.data.coffee()
POINTS, LABELS = np.array([[300, 200], [450, 100]]), np.array([1, 0])
BOX = np.array([120, 60, 480, 350])


class OncePerImage(OnnxImageEncoder):
    """Keeps the last embedding: nearly every test here sets the same photo, and to encode it takes a second."""

    _last: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if self._last is None or not torch.equal(self._last[0], image):
            self._last = (image.clone(), super().forward(image))
        return self._last[1].clone()


@pytest.fixture(scope="module")
def official(weights: Path) -> Any:
    sam = official_sam(weights)
    sam.image_encoder = OncePerImage(weights / "encoder.onnx")
    return SamPredictor(sam)


@pytest.fixture(params=["official", "remote"])
def predictor(request: pytest.FixtureRequest) -> Any:
    """Each of the two predictors, without an image."""
    found = request.getfixturevalue(request.param)
    found.reset_image()
    return found


@pytest.fixture
def seeing(predictor: Any) -> Any:
    """Each of the two predictors, with the photo of the cup set."""
    predictor.set_image(COFFEE)
    return predictor


@pytest.fixture
def both(official: Any, remote: Any) -> tuple[Any, Any]:
    """Both predictors, with the photo of the cup set."""
    official.set_image(COFFEE)
    remote.set_image(COFFEE)
    return official, remote


def test_predicting_without_an_image_says_to_set_one(predictor: Any) -> None:
    with pytest.raises(RuntimeError, match=r"An image must be set with \.set_image\(\.\.\.\) before mask prediction\."):
        predictor.predict(POINTS, LABELS)
    with pytest.raises(RuntimeError, match=r"An image must be set with \.set_image\(\.\.\.\) before mask prediction\."):
        predictor.predict_torch(None, None)


def test_an_embedding_without_an_image_says_to_set_one(predictor: Any) -> None:
    with pytest.raises(RuntimeError, match=r"set with \.set_image\(\.\.\.\) to generate an embedding\."):
        predictor.get_image_embedding()


def test_an_image_is_set_until_it_is_reset(predictor: Any) -> None:
    assert not predictor.is_image_set
    predictor.set_image(COFFEE)
    assert predictor.is_image_set
    assert tuple(predictor.original_size) == (400, 600)
    assert tuple(predictor.input_size) == (683, 1024)
    predictor.reset_image()
    assert not predictor.is_image_set


def test_other_channel_orders_are_refused(predictor: Any) -> None:
    with pytest.raises(AssertionError, match=r"image_format must be in \['RGB', 'BGR'\], is HSV\."):
        predictor.set_image(COFFEE, image_format="HSV")


def test_four_channels_are_refused(predictor: Any) -> None:
    with pytest.raises(AssertionError):
        predictor.set_image(np.dstack([COFFEE, COFFEE[..., 0]]))


def test_points_need_labels(seeing: Any) -> None:
    with pytest.raises(AssertionError, match=r"point_labels must be supplied if point_coords is supplied\."):
        seeing.predict(point_coords=POINTS)


@pytest.mark.parametrize(("multimask", "count"), [(True, 3), (False, 1)])
@pytest.mark.parametrize(("full_logits", "dtype"), [(False, np.bool_), (True, np.float32)])
def test_shapes_and_types(seeing: Any, multimask: bool, count: int, full_logits: bool, dtype: type) -> None:
    masks, scores, logits = seeing.predict(POINTS, LABELS, multimask_output=multimask, return_logits=full_logits)
    assert all(type(array) is np.ndarray for array in (masks, scores, logits))
    assert (masks.shape, masks.dtype) == ((count, 400, 600), dtype)
    assert (scores.shape, scores.dtype) == ((count,), np.float32)
    assert (logits.shape, logits.dtype) == ((count, 256, 256), np.float32)


def test_a_box_may_have_a_leading_axis(seeing: Any) -> None:
    flat, _, _ = seeing.predict(box=BOX, multimask_output=False)
    lifted, _, _ = seeing.predict(box=BOX[None, :], multimask_output=False)
    np.testing.assert_array_equal(flat, lifted)
    assert flat.sum() > 10_000


def test_the_embedding_has_sams_shape(seeing: Any) -> None:
    embedding = np.asarray(seeing.get_image_embedding())
    assert (embedding.shape, embedding.dtype) == ((1, 256, 64, 64), np.float32)


def test_tensors_in_give_tensors_out(seeing: Any) -> None:
    boxes = torch.tensor([[120, 60, 480, 350], [10, 10, 90, 90]], device=seeing.device)
    frame = seeing.transform.apply_boxes_torch(boxes, COFFEE.shape[:2])
    masks, scores, logits = seeing.predict_torch(None, None, boxes=frame, multimask_output=False)
    assert (masks.shape, masks.dtype) == ((2, 1, 400, 600), torch.bool)
    assert (scores.shape, scores.dtype) == ((2, 1), torch.float32)
    assert (logits.shape, logits.dtype) == ((2, 1, 256, 256), torch.float32)


PROMPTS: dict[str, dict[str, Any]] = {
    "a point": {"point_coords": POINTS[:1], "point_labels": LABELS[:1]},
    "points": {"point_coords": POINTS, "point_labels": LABELS, "multimask_output": False},
    "fractions of pixels": {"point_coords": POINTS + 0.37, "point_labels": LABELS},
    "a box": {"box": BOX, "multimask_output": False},
    "a box and points": {"point_coords": POINTS, "point_labels": LABELS, "box": BOX},
    "padding": {"point_coords": np.array([[300, 200], [0, 0], [0, 0]]), "point_labels": np.array([1, -1, -1])},
    "padding anywhere": {
        "point_coords": np.array([[-1e6, 3], [300, 200], [450, 100]]),
        "point_labels": np.array([-1, 1, 0]),
    },
    "padding and a box": {
        "point_coords": np.array([[0, 0]]),
        "point_labels": np.array([-1]),
        "box": BOX,
        "multimask_output": False,
    },
    "nothing but padding": {"point_coords": np.array([[0, 0]]), "point_labels": np.array([-1])},
    "a box drawn upwards": {"box": BOX[[2, 3, 0, 1]]},
    "a box drawn to the left": {"box": BOX[[2, 1, 0, 3]], "multimask_output": False},
    "a box without an area": {"box": np.array([300, 200, 300, 200])},
    "a box drawn upwards and points": {"point_coords": POINTS, "point_labels": LABELS, "box": BOX[[2, 3, 0, 1]]},
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS.keys())
def test_both_give_the_same_masks(both: tuple[Any, Any], prompt: dict[str, Any]) -> None:
    theirs, ours = (predictor.predict(**prompt) for predictor in both)
    assert least_iou(ours[0], theirs[0]) >= 0.9999
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-4)
    # Logits are float32, but an answer carries them as float16, which has 11 bits of precision.
    np.testing.assert_allclose(ours[2], theirs[2], rtol=2**-11, atol=2e-3)


def test_both_give_the_same_logits_at_full_size(both: tuple[Any, Any]) -> None:
    theirs, ours = (predictor.predict(POINTS, LABELS, return_logits=True)[0] for predictor in both)
    np.testing.assert_allclose(ours, theirs, atol=0.04)


def test_both_refine_a_mask_to_the_same(both: tuple[Any, Any]) -> None:
    answers = []
    for predictor in both:
        _, scores, logits = predictor.predict(POINTS[:1], LABELS[:1])
        best = logits[np.argmax(scores), :, :]
        answers.append(predictor.predict(POINTS, LABELS, mask_input=best[None, :, :], multimask_output=False))
    theirs, ours = answers
    assert least_iou(ours[0], theirs[0]) >= 0.9999
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-4)


def test_logits_of_another_predictor_refine_to_nearly_the_same(both: tuple[Any, Any]) -> None:
    """Logits of another predictor are sent as float16. A predictor's own logits are sent as a token."""
    _, scores, logits = both[0].predict(POINTS[:1], LABELS[:1])
    best = logits[np.argmax(scores)][None]
    theirs, ours = (each.predict(POINTS, LABELS, mask_input=best, multimask_output=False) for each in both)
    assert least_iou(ours[0], theirs[0]) >= 0.999


def test_both_give_the_same_for_batches(both: tuple[Any, Any]) -> None:
    boxes = torch.tensor([[120, 60, 480, 350], [10, 10, 90, 90], [300, 200, 599, 399]])
    answers = []
    for predictor in both:
        frame = predictor.transform.apply_boxes_torch(boxes, COFFEE.shape[:2])
        coords = predictor.transform.apply_coords_torch(boxes[:, None, :2] + 30, COFFEE.shape[:2])
        answers.append(predictor.predict_torch(coords, torch.ones(3, 1, dtype=torch.int), frame))
    theirs, ours = answers
    assert least_iou(ours[0].numpy(), theirs[0].numpy()) >= 0.9999
    torch.testing.assert_close(ours[1], theirs[1], atol=1e-4, rtol=0)


def test_both_give_the_same_for_batches_padded_to_one_length(both: tuple[Any, Any]) -> None:
    boxes = torch.tensor([[120, 60, 480, 350], [90, 90, 10, 10], [300, 200, 599, 399]])
    points = torch.tensor(
        [[[300, 200], [450, 100], [20, 30]], [[40, 40], [0, 0], [0, 0]], [[500, 300], [310, 220], [0, 0]]]
    )
    labels = torch.tensor([[1, 0, 0], [1, -1, -1], [1, 1, -1]])
    for with_boxes in (False, True):
        answers = []
        for predictor in both:
            frame = predictor.transform.apply_boxes_torch(boxes, COFFEE.shape[:2]) if with_boxes else None
            coords = predictor.transform.apply_coords_torch(points, COFFEE.shape[:2])
            answers.append(predictor.predict_torch(coords, labels, frame))
        theirs, ours = answers
        assert least_iou(ours[0].numpy(), theirs[0].numpy()) >= 0.9999
        torch.testing.assert_close(ours[1], theirs[1], atol=1e-4, rtol=0)


def test_a_batch_of_arrays_of_different_lengths_is_each_prompt_alone(both: tuple[Any, Any]) -> None:
    theirs, ours = both
    prompts = [(POINTS[:1], LABELS[:1]), (POINTS, LABELS)]
    coords = [ours.transform.apply_coords(points, COFFEE.shape[:2]) for points, _ in prompts]
    masks, _, _ = ours.predict_torch(coords, [labels for _, labels in prompts])
    for mask, (points, labels) in zip(masks, prompts, strict=True):
        assert least_iou(mask, theirs.predict(points, labels)[0]) >= 0.9999


@pytest.mark.parametrize("box", [BOX, BOX[[2, 3, 0, 1]]])
def test_the_labels_2_and_3_are_a_box(both: tuple[Any, Any], box: np.ndarray) -> None:
    """SamPredictor gives these labels no meaning; segment_anything's ONNX export does."""
    theirs, ours = both
    corners, kinds = box.reshape(2, 2), np.array([2, 3])
    for points, labels, beside in (
        (corners, kinds, {}),
        (
            np.concatenate([POINTS, corners]),
            np.concatenate([LABELS, kinds]),
            {"point_coords": POINTS, "point_labels": LABELS},
        ),
    ):
        expected = theirs.predict(box=box, **beside)[0]
        assert least_iou(ours.predict(points, labels)[0], expected) >= 0.9999


def test_bgr_is_the_same_picture(both: tuple[Any, Any]) -> None:
    for predictor in both:
        expected = np.asarray(predictor.get_image_embedding())
        predictor.set_image(np.ascontiguousarray(COFFEE[..., ::-1]), image_format="BGR")
        np.testing.assert_array_equal(np.asarray(predictor.get_image_embedding()), expected)


def test_both_have_the_same_embedding(both: tuple[Any, Any]) -> None:
    theirs, ours = (np.asarray(predictor.get_image_embedding()) for predictor in both)
    np.testing.assert_allclose(ours, theirs, rtol=2**-11, atol=1e-3)


def test_transforms_agree(both: tuple[Any, Any]) -> None:
    coords = np.array([[0.0, 0.0], [599.5, 399.5], [13.7, 400.1]])
    boxes = np.array([[1, 2, 300, 400]])
    theirs, ours = (predictor.transform for predictor in both)
    size = COFFEE.shape[:2]
    np.testing.assert_array_equal(ours.apply_coords(coords, size), theirs.apply_coords(coords, size))
    np.testing.assert_array_equal(ours.apply_boxes(boxes, size), theirs.apply_boxes(boxes, size))
    np.testing.assert_array_equal(ours.apply_image(COFFEE), theirs.apply_image(COFFEE))
    assert torch.equal(
        ours.apply_boxes_torch(torch.tensor(boxes), size), theirs.apply_boxes_torch(torch.tensor(boxes), size)
    )
    assert torch.equal(
        ours.apply_coords_torch(torch.tensor(coords), size), theirs.apply_coords_torch(torch.tensor(coords), size)
    )
