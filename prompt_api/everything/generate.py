"""Every mask of an image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prompt_api.everything.candidates import Candidate, Filter
from prompt_api.everything.grid import Crop, crops
from prompt_api.everything.interface import CropImage, MaskRecord, Report, Source
from prompt_api.everything.options import EverythingOptions, Mode
from prompt_api.everything.rounds import Rounds
from prompt_api.everything.small_regions import without_small_regions
from prompt_api.everything.suppression import kept_boxes
from prompt_api.models.in_order import in_order
from prompt_api.models.interface import POINTS_AT_ONCE
from shared.contract.errors import InvalidParameter
from shared.contract.geometry import Size

MAX_BYTES = 256 * 2**20
"""Bytes of all masks that are held before duplicates are removed."""


def generate(
    source: Source,
    options: EverythingOptions,
    size: Size,
    *,
    report: Report,
    stopped: Callable[[], bool],
    threads: int = 1,
) -> list[MaskRecord]:
    """Return the masks of the image. With one crop, the best come first; otherwise those of the smallest crops.

    The result does not depend on `threads`. No array of the image's size is made.

    Args:
        source: gives the image of each crop.
        size: (height, width) of the EXIF-oriented original.
        report: is called after each batch of points, in the calling thread.
        stopped: is asked between batches. Once it returns True, the masks found so far are returned.
        threads: how many batches are decoded at once.

    Raises:
        InvalidParameter: the options let more masks pass than `MAX_BYTES` can hold.

    Source: segment_anything.automatic_mask_generator.SamAutomaticMaskGenerator.generate.
    """
    job = _Job(options, size, report, stopped)
    with ThreadPoolExecutor(threads, thread_name_prefix="everything") as pool:
        for crop in job.crops:
            if stopped():
                break
            job.run(crop, source(crop.box), pool, threads)
    return job.masks()


@dataclass(slots=True, eq=False)
class _Found:
    """What one batch gave.

    Attributes:
        candidates: the good masks.
        confidence: (N,) in fast mode, the largest logit of these masks at each point of the grid; otherwise -inf.
    """

    candidates: list[Candidate]
    confidence: NDArray[np.float32]


class _Job:
    def __init__(self, options: EverythingOptions, size: Size, report: Report, stopped: Callable[[], bool]) -> None:
        self.crops = crops(options, size)
        self._options = options
        self._size = size
        self._report = report
        self._stopped = stopped
        self._done = 0
        self._total = sum(Rounds(crop.points_per_side, options.mode).most for crop in self.crops)
        self._of_crops: list[Candidate] = []
        self._of_this_crop: list[Candidate] = []
        self._held = 0  # bytes

    def run(self, crop: Crop, image: CropImage, pool: ThreadPoolExecutor, ahead: int) -> None:
        """Find the masks of one crop."""
        points = crop.points()
        chosen = Filter(image, crop.box, self._size, self._options)
        rounds = Rounds(crop.points_per_side, self._options.mode)
        confidence = np.full(len(points), -np.inf, np.float32)
        end = self._done + rounds.most

        def decode(numbers: NDArray[np.int64]) -> _Found:
            found = _Found([], np.full(len(points), -np.inf, np.float32))
            masks = image.decode(points[numbers], self._options.pred_iou_thresh)
            for number, decoded in zip(numbers, masks, strict=True):
                for candidate, logits in chosen.good(points[number], decoded):
                    found.candidates.append(candidate)
                    if self._options.mode is Mode.FAST:
                        np.maximum(found.confidence, image.logits_at(logits, points), out=found.confidence)
            return found

        while len(numbers := rounds.next(confidence)):
            batches = [numbers[start : start + POINTS_AT_ONCE] for start in range(0, len(numbers), POINTS_AT_ONCE)]
            with closing(in_order(pool, ahead, decode, batches)) as found_in_order:
                for batch, found in zip(batches, found_in_order, strict=True):
                    self._add(found.candidates)
                    np.maximum(confidence, found.confidence, out=confidence)
                    self._done += len(batch)
                    self._report(self._done, self._total, self.masks)
                    if self._stopped():
                        break
            if self._stopped():
                break
        else:
            self._skip_to(end)
        self._of_crops += self._without_duplicates(self._of_this_crop)
        self._of_this_crop = []
        self._held = sum(candidate.nbytes for candidate in self._of_crops)

    def _skip_to(self, done: int) -> None:
        """Count the points that turned out not to be needed."""
        if done > self._done:
            self._done = done
            self._report(self._done, self._total, self.masks)

    def masks(self) -> list[MaskRecord]:
        """Return the masks that the job would have if it ended now."""
        options = self._options
        found = self._of_crops + self._without_duplicates(self._of_this_crop)
        if len(self.crops) > 1:
            areas = np.array([_area(candidate) for candidate in found], np.float32)
            # Meta's generator prefers smaller crops, whatever the scores.
            found = _suppressed(found, np.float32(1) / areas, options.crop_nms_thresh)
        if options.min_mask_region_area > 0:
            most = max(options.box_nms_thresh, options.crop_nms_thresh)
            found = without_small_regions(found, options.min_mask_region_area, most)
        return [candidate.record() for candidate in found]

    def _without_duplicates(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        scores = np.array([candidate.score for candidate in candidates], np.float32)
        return _suppressed(candidates, scores, self._options.box_nms_thresh)

    def _add(self, candidates: list[Candidate]) -> None:
        self._of_this_crop += candidates
        self._held += sum(candidate.nbytes for candidate in candidates)
        if self._held > MAX_BYTES:
            raise InvalidParameter(
                f"these options keep more masks of this image than {MAX_BYTES // 2**20} MiB can hold: "
                "raise pred_iou_thresh or stability_score_thresh, or lower points_per_side"
            )


def _suppressed(candidates: Sequence[Candidate], scores: NDArray[np.float32], most_iou: float) -> list[Candidate]:
    boxes = np.array([candidate.box for candidate in candidates], np.int64).reshape(-1, 4)
    return [candidates[index] for index in kept_boxes(boxes, scores, most_iou)]


def _area(candidate: Candidate) -> int:
    x0, y0, x1, y1 = candidate.crop
    return (x1 - x0) * (y1 - y0)
