"""segment_anything's own `SamAutomaticMaskGenerator`, on torch, with given weights and given embeddings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import skimage.measure
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco

from prompt_api.everything.interface import MaskRecord
from tests.support.reference import Reference  # first: it makes torchvision importable

from segment_anything import SamAutomaticMaskGenerator, SamPredictor  # isort: skip
from segment_anything.utils import amg  # isort: skip
from torchvision.extension import _has_ops  # isort: skip

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Returns the embedding (1, 256, 64, 64) of an image, or of a crop of it: (H, W, 3) uint8."""

TIE = 1e-5
"""Predicted IoUs that differ by no more may come in another order: it is rounding."""

_BATCH = 16
"""Points at once. Meta's default of 64 takes several GB on a large photo, and gives the same masks."""


class Automatic:
    """`SamAutomaticMaskGenerator` with the embeddings of `embed`."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]], embed: Embed) -> None:
        self._sam = Reference(weights).sam
        self._embed = embed

    def generate(
        self, rgb: NDArray[np.uint8], *, points_per_batch: int = _BATCH, **options: Any
    ) -> list[dict[str, Any]]:
        """Return its records; `segmentation` is COCO's compressed RLE."""
        with _opencv(), _suppression():
            generator = SamAutomaticMaskGenerator(
                self._sam, points_per_batch=points_per_batch, output_mode="coco_rle", **options
            )
            generator.predictor = _EmbeddedPredictor(self._sam, self._embed)
            records: list[dict[str, Any]] = generator.generate(rgb)
        return records


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far our masks are from Meta's.

    Attributes:
        ours, theirs: how many masks each side has.
        least_iou: of the pairs of masks.
        most_score, most_stability: the largest difference of predicted IoUs, and of stability scores.
        out_of_order: pairs whose places differ though their predicted IoUs do.
        others: pairs whose point, crop or box differs.
    """

    ours: int
    theirs: int
    least_iou: float
    most_score: float
    most_stability: float
    out_of_order: int
    others: int


def agreement(ours: Sequence[MaskRecord], theirs: Sequence[Mapping[str, Any]]) -> Agreement:
    """Pair each of our masks with the mask of theirs that is most like it, and compare the pairs."""
    if not ours or not theirs:
        return Agreement(len(ours), len(theirs), float(len(ours) == len(theirs)), 0, 0, 0, 0)
    own, other = ([_as_bytes(rle) for rle in rles] for rles in (_rles(ours), [one["segmentation"] for one in theirs]))
    ious = np.asarray(coco.iou(own, other, [0] * len(other)))
    partner = ious.argmax(axis=1)
    pairs = [(mask, theirs[index]) for mask, index in zip(ours, partner, strict=True)]
    moved = [
        abs(mask.predicted_iou - theirs[place]["predicted_iou"]) > TIE
        for place, (mask, index) in enumerate(zip(ours, partner, strict=True))
        if place != index and place < len(theirs)
    ]
    return Agreement(
        len(ours),
        len(theirs),
        float(ious.max(axis=1).min()),
        max(abs(mask.predicted_iou - one["predicted_iou"]) for mask, one in pairs),
        max(abs(mask.stability_score - one["stability_score"]) for mask, one in pairs),
        sum(moved),
        sum(not _alike(mask, one) for mask, one in pairs),
    )


def _rles(masks: Sequence[MaskRecord]) -> list[dict[str, Any]]:
    return [mask.rle for mask in masks]


def _as_bytes(rle: Mapping[str, Any]) -> dict[str, Any]:
    return {"size": rle["size"], "counts": rle["counts"].encode()}


def _alike(mask: MaskRecord, one: Mapping[str, Any]) -> bool:
    """Return whether point, crop and box are the same. Meta's boxes end at the last column and row."""
    x, y, width, height = mask.bbox
    return bool(
        [list(point) for point in mask.point_coords] == one["point_coords"]
        and list(mask.crop_box) == one["crop_box"]
        and [x, y, width - 1, height - 1] == one["bbox"]
    )


class _EmbeddedPredictor(SamPredictor):  # type: ignore[misc]  # segment_anything has no types
    def __init__(self, sam: Any, embed: Embed) -> None:
        super().__init__(sam)
        self._embed = embed

    def set_image(self, image: NDArray[np.uint8], image_format: str = "RGB") -> None:
        self.reset_image()
        self.features = torch.tensor(self._embed(image))
        self.original_size = image.shape[:2]
        self.input_size = self.transform.get_preprocess_shape(*image.shape[:2], self.model.image_encoder.img_size)
        self.is_image_set = True


@contextmanager
def _suppression() -> Iterator[None]:
    """Offer torchvision's suppression, if its compiled operators are missing; see `ensure_torchvision_imports`."""
    module: Any = import_module("segment_anything.automatic_mask_generator")
    original = module.batched_nms
    if not _has_ops():
        module.batched_nms = batched_nms
    try:
        yield
    finally:
        module.batched_nms = original


def batched_nms(boxes: torch.Tensor, scores: torch.Tensor, idxs: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Suppress boxes pair by pair, as torchvision's C++ does. All must be of one category."""
    assert not idxs.any()
    order = scores.sort(stable=True, descending=True).indices.tolist()
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    for candidate in order:
        better = torch.tensor(kept, dtype=torch.long)
        low = torch.maximum(boxes[better, :2], boxes[candidate, :2])
        high = torch.minimum(boxes[better, 2:], boxes[candidate, 2:])
        shared = (high - low).clamp(min=0).prod(dim=1)
        iou = shared / (areas[better] + areas[candidate] - shared)
        if not bool((iou.double() > iou_threshold).any()):
            kept.append(candidate)
    return torch.tensor(kept, dtype=torch.long)


def remove_small_regions(mask: NDArray[np.bool_], least: int, mode: str) -> tuple[NDArray[np.bool_], bool]:
    """Return the mask without small holes or islands, and whether it changed, as segment_anything does."""
    with _opencv():
        cleaned, changed = amg.remove_small_regions(mask, least, mode)
    return cleaned, changed


@contextmanager
def _opencv() -> Iterator[None]:
    """Offer the one function of OpenCV that the generator calls, if OpenCV is not installed."""
    try:
        import_module("cv2")
    except ImportError:
        stand_in: Any = ModuleType("cv2")
        stand_in.connectedComponentsWithStats = _components
        sys.modules["cv2"] = stand_in
        try:
            yield
        finally:
            del sys.modules["cv2"]
    else:
        yield


def _components(mask: NDArray[np.uint8], connectivity: int) -> tuple[int, NDArray[np.int64], NDArray[np.int64], None]:
    assert connectivity == 8
    labels, count = skimage.measure.label(mask, connectivity=2, return_num=True)  # type: ignore[no-untyped-call]
    return count + 1, labels, np.bincount(labels.reshape(-1), minlength=count + 1)[:, None], None
