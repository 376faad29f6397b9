"""What everything mode takes and gives: the image as its decoder sees it, progress, and the records of the masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.interface import DecodedMasks

Floats = NDArray[np.float64]

CropBox = tuple[int, int, int, int]
"""A part of the image: x0, y0, x1, y1 in whole pixels of the EXIF-oriented original, half open."""


@dataclass(frozen=True, slots=True)
class MaskRecord:
    """One mask, with the members of a record of `SamAutomaticMaskGenerator`.

    Attributes:
        rle: COCO's compressed run lengths of the mask over the whole image.
        area: pixels that the mask covers.
        bbox: (x, y, width, height) of these pixels. Meta's generator gives the last column minus the first as the
            width, and the height likewise; both are one less than here.
        predicted_iou: the IoU that the model predicts for the mask.
        point_coords: ((x, y),), the point that gave the mask, in pixels of the original.
        stability_score: the area at a higher threshold divided by the area at a lower one, 0 to 1.
        crop_box: (x, y, width, height) of the crop that the mask comes from.
    """

    rle: dict[str, Any]
    area: int
    bbox: tuple[int, int, int, int]
    predicted_iou: float
    point_coords: tuple[tuple[float, float]]
    stability_score: float
    crop_box: tuple[int, int, int, int]

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON can carry it."""
        return {
            "rle": self.rle,
            "area": self.area,
            "bbox": list(self.bbox),
            "predicted_iou": self.predicted_iou,
            "point_coords": [list(point) for point in self.point_coords],
            "stability_score": self.stability_score,
            "crop_box": list(self.crop_box),
        }


class CropImage(Protocol):
    """A decoder, bound to the embedding of one crop. Several threads may use it at once."""

    def decode(self, points: Floats, least_score: float) -> Iterator[DecodedMasks]:
        """Return the good masks of each point, in order; see `Decoder.decode_points`.

        Args:
            points: (N, 2) as (x, y), in pixels of the crop.
        """
        ...

    def mask_runs(self, logits: NDArray[np.float32]) -> ColumnRuns:
        """Return the mask over the crop that the (S, S) low-res logits of one mask stand for."""
        ...

    def areas_above(self, logits: NDArray[np.float32], thresholds: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the pixels (K, M) of the crop whose logits are above each threshold; see `Decoder.areas_above`."""
        ...

    def logits_at(self, logits: NDArray[np.float32], points: Floats) -> NDArray[np.float32]:
        """Return the low-res logit (N,) nearest to each point.

        Args:
            logits: (S, S) of one mask.
            points: (N, 2) as (x, y), in pixels of the crop.
        """
        ...


class Source(Protocol):
    """Gives the embeddings."""

    def __call__(self, crop: CropBox, /) -> CropImage:
        """Return the image of `crop`. It is asked once for each crop, in the order of `crop_boxes`, the whole first.

        It may block, for instance until a worker has encoded the crop. What it raises ends the job.
        """
        ...


MasksSoFar = Callable[[], list[MaskRecord]]
"""Returns the masks that the job would have if it ended now. It costs some milliseconds per hundred masks.

It may be called only while `Report` runs.
"""


class Report(Protocol):
    """Takes the progress of a job, after each batch of some points."""

    def __call__(self, done: int, total: int, masks: MasksSoFar, /) -> None:
        """Args:
        done: points that are decoded, or that turned out not to be needed.
        total: points of the job, over all crops; in fast mode the most that it may decode.
        masks: makes the masks so far, if they are wanted.
        """
        ...
