"""Code written for SamPredictor runs on our predictor after one change: the line that creates the predictor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from samcache import RemoteSamPredictor
from tests.client.predictors import least_iou, official_sam
from tests.support.reference import SamPredictor

COFFEE = skimage.data.coffee()


@pytest.fixture(scope="module")
def sam(weights: Path) -> Any:
    return official_sam(weights)


def notebook(predictor: Any, path: Path) -> Iterator[np.ndarray]:
    """Make the calls of segment_anything's notebooks/predictor_example.ipynb, in the same order, on another photo."""
    image = np.array(Image.open(path).convert("RGB"))  # the notebook uses OpenCV; a PNG gives the same pixels
    predictor.set_image(image)
    input_point = np.array([[300, 200]])
    input_label = np.array([1])
    masks, scores, logits = predictor.predict(point_coords=input_point, point_labels=input_label, multimask_output=True)
    yield masks

    input_point = np.array([[300, 200], [330, 150]])
    input_label = np.array([1, 1])
    mask_input = logits[np.argmax(scores), :, :]
    masks, _, _ = predictor.predict(
        point_coords=input_point,
        point_labels=input_label,
        mask_input=mask_input[None, :, :],
        multimask_output=False,
    )
    yield masks

    input_label = np.array([1, 0])
    masks, _, _ = predictor.predict(
        point_coords=input_point,
        point_labels=input_label,
        mask_input=mask_input[None, :, :],
        multimask_output=False,
    )
    yield masks

    input_box = np.array([120, 60, 480, 350])
    masks, _, _ = predictor.predict(
        point_coords=None, point_labels=None, box=input_box[None, :], multimask_output=False
    )
    yield masks

    masks, _, _ = predictor.predict(
        point_coords=np.array([[140, 200]]), point_labels=np.array([0]), box=input_box, multimask_output=False
    )
    yield masks

    input_boxes = torch.tensor(
        [[120, 60, 480, 350], [250, 100, 400, 300], [10, 10, 90, 90], [450, 20, 590, 120]], device=predictor.device
    )
    transformed_boxes = predictor.transform.apply_boxes_torch(input_boxes, image.shape[:2])
    batch, _, _ = predictor.predict_torch(
        point_coords=None, point_labels=None, boxes=transformed_boxes, multimask_output=False
    )
    assert batch.shape == (4, 1, *image.shape[:2])
    for mask in batch:
        yield mask.cpu().numpy()


def test_the_notebook_gives_the_same_masks(sam: Any, remote: RemoteSamPredictor, tmp_path: Path) -> None:
    path = tmp_path / "coffee.png"
    Image.fromarray(COFFEE).save(path)
    theirs, ours = (list(notebook(predictor, path)) for predictor in (SamPredictor(sam), remote))
    assert len(theirs) == 9
    for one, other in zip(ours, theirs, strict=True):
        assert least_iou(one, other) >= 0.9999


def test_metas_mask_generator_runs_on_it_and_finds_the_same(
    sam: Any, remote: RemoteSamPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segment_anything import SamAutomaticMaskGenerator, automatic_mask_generator

    # Machines without a GPU build of torchvision lack its compiled operators.
    monkeypatch.setattr(automatic_mask_generator, "batched_nms", non_maximum_suppression)
    settings = {"points_per_side": 5, "points_per_batch": 10, "pred_iou_thresh": 0.8, "crop_n_layers": 0}
    generator = SamAutomaticMaskGenerator(sam, **settings)
    theirs = generator.generate(COFFEE)
    generator.predictor = remote
    ours = generator.generate(COFFEE)
    assert len(ours) == len(theirs) >= 3
    for one, other in zip(ours, theirs, strict=True):
        assert one["point_coords"] == other["point_coords"]
        assert one["predicted_iou"] == pytest.approx(other["predicted_iou"], abs=1e-4)
        # The generator thresholds full-size logits itself, and the API sends them as float16.
        assert least_iou(one["segmentation"], other["segmentation"]) >= 0.999


def non_maximum_suppression(
    boxes: torch.Tensor, scores: torch.Tensor, categories: torch.Tensor, iou_threshold: float
) -> torch.Tensor:
    """Replaces torchvision.ops.boxes.batched_nms, for a single category."""
    kept: list[int] = []
    for number in scores.argsort(descending=True).tolist():
        if all(box_iou(boxes[number], boxes[other]) <= iou_threshold for other in kept):
            kept.append(number)
    return torch.tensor(kept, dtype=torch.long)


def box_iou(one: torch.Tensor, other: torch.Tensor) -> float:
    low, high = torch.maximum(one[:2], other[:2]), torch.minimum(one[2:], other[2:])
    both = float((high - low).clamp(min=0).prod())
    return both / (float((one[2:] - one[:2]).prod()) + float((other[2:] - other[:2]).prod()) - both)
