"""From the logits of a point to the masks that are good enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prompt_api.everything.interface import CropBox, CropImage, MaskRecord
from prompt_api.everything.options import EverythingOptions
from prompt_api.masks.rle import encode_rle
from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.interface import DecodedMasks
from shared.contract.geometry import Size

EDGE = 20
"""Pixels. A mask is near an edge if a side of its box is at most so far from it. Source: `is_box_near_crop_edge`."""

Box = tuple[int, int, int, int]
"""The first column and row, and the last column and row, of a mask."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mask that passed the filters.

    Attributes:
        score: the predicted IoU.
        stability: its stability score.
        point: (x, y) of its point, in pixels of the original.
        crop: the crop that it comes from.
        size: (height, width) of the whole image.
        packed: (3, N) int32, the columns, tops and bottoms of the runs of the mask over the whole image.
    """

    score: np.float32
    stability: np.float32
    point: tuple[float, float]
    crop: CropBox
    size: Size
    packed: NDArray[np.int32]

    @property
    def runs(self) -> ColumnRuns:
        """The mask over the whole image."""
        return ColumnRuns(self.size, *self.packed.astype(np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the mask holds."""
        return self.packed.nbytes

    @cached_property
    def box(self) -> Box:
        """The box around the mask."""
        x, top, bottom = self.packed
        return int(x[0]), int(top.min()), int(x[-1]), int(bottom.max()) - 1

    @cached_property
    def rle(self) -> dict[str, Any]:
        """COCO's compressed run lengths of the mask."""
        return encode_rle(self.runs)

    def with_runs(self, runs: ColumnRuns) -> Candidate:
        """Return the candidate with another mask."""
        return replace(self, packed=packed(runs))

    def record(self) -> MaskRecord:
        """Return the mask as the caller gets it."""
        x0, y0, x1, y1 = self.crop
        left, top, right, bottom = self.box
        return MaskRecord(
            rle=self.rle,
            area=int((self.packed[2] - self.packed[1]).sum(dtype=np.int64)),
            bbox=(left, top, right - left + 1, bottom - top + 1),
            predicted_iou=float(self.score),
            point_coords=(self.point,),
            stability_score=float(self.stability),
            crop_box=(x0, y0, x1 - x0, y1 - y0),
        )


def packed(runs: ColumnRuns) -> NDArray[np.int32]:
    """Return the runs as `Candidate.packed`, in half as many bytes."""
    return np.stack([runs.x, runs.top, runs.bottom]).astype(np.int32)


class Filter:
    """Keeps the good masks of one crop. Several threads may use it at once."""

    def __init__(self, image: CropImage, crop: CropBox, whole: Size, options: EverythingOptions) -> None:
        """Args:
        whole: (height, width) of the whole image.
        """
        self._image = image
        self._crop = crop
        self._whole = whole
        x0, y0, _, _ = crop
        self._corner = np.array([[x0], [y0], [y0]], np.int32)
        self._offset = np.float32(options.stability_score_offset)
        self._least_stability = options.stability_score_thresh

    def good(self, point: NDArray[np.float64], masks: DecodedMasks) -> Iterator[tuple[Candidate, NDArray[np.float32]]]:
        """Yield each mask that is stable and not cut off by the crop, with its logits.

        No array of the image's size is made.

        Args:
            point: (2,) as (x, y), in pixels of the crop.
            masks: those of the point whose predicted IoU is large enough.

        Source: SamAutomaticMaskGenerator._process_batch.
        """
        x, y = (float(value) for value in point + np.array(self._crop[:2]))
        stabilities = self._stabilities(masks.logits)
        for score, logits, stability in zip(masks.scores, masks.logits, stabilities, strict=True):
            if self._least_stability > 0 and stability < np.float32(self._least_stability):
                continue
            runs = self._image.mask_runs(logits)
            if not runs.x.size:
                continue
            moved = packed(runs) + self._corner
            candidate = Candidate(score, stability, (x, y), self._crop, self._whole, moved)
            if not self._is_cut_off(candidate.box):
                yield candidate, logits

    def _stabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the area at the higher threshold divided by the area at the lower one, (K,); 0 if both are 0.

        Source: segment_anything.utils.amg.calculate_stability_score.
        """
        areas = self._image.areas_above(logits, np.array([self._offset, -self._offset]))
        inside, around = areas.astype(np.float32).T
        return np.asarray(inside / np.maximum(around, 1))

    def _is_cut_off(self, box: Box) -> bool:
        """Return True if the box is near an edge of the crop that is not near the same edge of the image.

        Source: segment_anything.utils.amg.is_box_near_crop_edge.
        """
        height, width = self._whole
        sides = zip(box, self._crop, (0, 0, width, height), strict=True)
        return any(abs(side - crop) <= EDGE < abs(side - whole) for side, crop, whole in sides)
