"""The generator on images that tests draw: what it keeps, in which order, how it reports and stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Lock

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools import mask as coco

from prompt_api.everything import generate as module
from prompt_api.everything.candidates import Filter
from prompt_api.everything.generate import generate
from prompt_api.everything.interface import CropBox, MaskRecord, MasksSoFar
from prompt_api.everything.options import EverythingOptions
from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.interface import DecodedMasks
from prompt_api.models.sam1.boundary import areas_above, mask_runs
from shared.contract.errors import InvalidParameter
from tests.support.automatic import amg
from tests.support.masks_material import logits_of_sam, noisy_logits, runs_of, smooth_logits

SIZE = (100, 100)

Box = tuple[int, int, int, int]


@dataclass
class Things:
    """A `Source` of images with square things. A point gives the masks of the things that it is on.

    The low-res logits of a thing are one logit for each pixel of the crop: 20 in its middle, `edge` in a margin of two
    pixels inside it, otherwise -20.

    Attributes:
        things: their boxes in the whole image, half open, with their scores and the logits of their margins.
        asked: the crops, in the order in which they were asked for.
        prompted: the number of points that were decoded.
    """

    things: list[tuple[Box, float, float]]
    asked: list[CropBox] = field(default_factory=list)
    prompted: int = 0
    lock: Lock = field(default_factory=Lock)

    def __call__(self, crop: CropBox) -> ThingsInCrop:
        self.asked.append(crop)
        return ThingsInCrop(self, crop)


@dataclass
class ThingsInCrop:
    things: Things
    crop: CropBox

    def decode(self, points: NDArray[np.float64], least_score: float) -> Iterator[DecodedMasks]:
        x0, y0, x1, y1 = self.crop
        for x, y in points + np.array([x0, y0]):
            with self.things.lock:
                self.things.prompted += 1
            found = [
                (self._logits(box, edge), score)
                for box, score, edge in self.things.things
                if box[0] <= x < box[2] and box[1] <= y < box[3]
            ]
            logits = np.array([one for one, _ in found], np.float32).reshape(-1, y1 - y0, x1 - x0)
            yield DecodedMasks(logits, np.array([score for _, score in found], np.float32)).above(least_score)

    def _logits(self, box: Box, edge: float) -> NDArray[np.float32]:
        height, width = SIZE
        whole = np.full((height + 4, width + 4), -20, np.float32)
        x0, y0, x1, y1 = box
        whole[y0:y1, x0:x1] = edge
        whole[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2] = 20
        left, top, right, bottom = self.crop
        return whole[top:bottom, left:right]

    def mask_runs(self, logits: NDArray[np.float32]) -> ColumnRuns:
        return runs_of(logits > 0)

    def areas_above(self, logits: NDArray[np.float32], thresholds: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.count_nonzero(logits[:, None] > thresholds[:, None, None], axis=(2, 3))

    def logits_at(self, logits: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float32]:
        x, y = points.astype(int).T
        return logits[y, x]


def quiet(_done: int, _total: int, _masks: MasksSoFar) -> None:
    """A `Report` that does nothing."""


def masks_of(things: Things, stopped: Callable[[], bool] = lambda: False, **options: object) -> list[MaskRecord]:
    given = {"points_per_side": 10, **options}
    return generate(things, EverythingOptions.of(given), SIZE, report=quiet, stopped=stopped)


def boxes_of(masks: list[MaskRecord]) -> list[Box]:
    return [(x, y, x + width, y + height) for x, y, width, height in (mask.bbox for mask in masks)]


SMALL, OTHER, LARGE = (22, 22, 42, 42), (60, 60, 80, 82), (10, 10, 90, 90)


def test_each_thing_is_found_once_the_best_first() -> None:
    masks = masks_of(Things([(SMALL, 0.9, 20), (OTHER, 0.99, 20), (LARGE, 0.95, 20)]))
    assert boxes_of(masks) == [OTHER, LARGE, SMALL]
    assert [mask.area for mask in masks] == [20 * 22, 80 * 80, 20 * 20]
    assert [mask.predicted_iou for mask in masks] == pytest.approx([0.99, 0.95, 0.9])
    assert masks[0].point_coords == ((65.0, 65.0),)
    assert masks[0].crop_box == (0, 0, 100, 100)
    pixels = coco.decode({**masks[0].rle, "counts": masks[0].rle["counts"].encode()})
    assert pixels[60:82, 60:80].all()
    assert pixels.sum() == 440


def test_a_record_is_json() -> None:
    (mask,) = masks_of(Things([(SMALL, 0.9, 20)]))
    assert mask.as_json() == {
        "rle": mask.rle,
        "area": 400,
        "bbox": [22, 22, 20, 20],
        "predicted_iou": pytest.approx(0.9),
        "point_coords": [[25.0, 25.0]],
        "stability_score": 1.0,
        "crop_box": [0, 0, 100, 100],
    }


def test_masks_of_low_scores_are_dropped_unless_the_threshold_is_zero() -> None:
    things = [(SMALL, 0.5, 20.0), (OTHER, -0.1, 20.0)]
    assert masks_of(Things(things)) == []
    assert boxes_of(masks_of(Things(things), pred_iou_thresh=0.3)) == [SMALL]
    assert boxes_of(masks_of(Things(things), pred_iou_thresh=0)) == [SMALL, OTHER]


def test_unstable_masks_are_dropped_unless_the_threshold_is_zero() -> None:
    """The margin lies between the thresholds -1 and 1, so the stability is 16 * 16 / (20 * 20)."""
    things = [(SMALL, 0.9, 0.5)]
    assert masks_of(Things(things)) == []
    for least in (0.64, 0.0):
        (mask,) = masks_of(Things(things), stability_score_thresh=least)
        assert mask.stability_score == pytest.approx(0.64)
        assert mask.area == 400
    (mask,) = masks_of(Things(things), stability_score_offset=0.4)
    assert mask.stability_score == 1


def test_a_mask_without_pixels_is_no_mask() -> None:
    things = [((30, 30, 34, 34), 0.9, -0.5)]  # nothing but margin
    assert masks_of(Things(things), stability_score_thresh=0) == []


def test_of_two_alike_the_better_stays() -> None:
    almost = (22, 22, 42, 43)
    assert boxes_of(masks_of(Things([(SMALL, 0.9, 20), (almost, 0.92, 20)]))) == [almost]
    assert boxes_of(masks_of(Things([(SMALL, 0.9, 20), (almost, 0.92, 20)]), box_nms_thresh=1)[:2]) == [almost] * 2


def test_crops_are_asked_for_in_order_and_the_smaller_crop_wins() -> None:
    things = Things([((20, 20, 32, 32), 0.9, 20), (LARGE, 0.9, 20)])
    masks = masks_of(things, crop_n_layers=1, crop_overlap_ratio=0.2)
    assert things.asked == [(0, 0, 100, 100), (0, 0, 60, 60), (0, 40, 60, 100), (40, 0, 100, 60), (40, 40, 100, 100)]
    assert [(mask.crop_box, box) for mask, box in zip(masks, boxes_of(masks), strict=True)] == [
        ((0, 0, 60, 60), (20, 20, 32, 32)),
        ((0, 0, 100, 100), LARGE),
    ]


def test_a_mask_that_a_crop_cuts_off_is_dropped_but_not_at_the_edge_of_the_image() -> None:
    at_the_edge = (0, 25, 30, 35)
    masks = masks_of(Things([(at_the_edge, 0.9, 20)]), crop_n_layers=1, crop_overlap_ratio=0.2)
    assert [(mask.crop_box, mask.bbox) for mask in masks] == [((0, 0, 60, 60), (0, 25, 30, 10))]
    near_the_end_of_the_crop = (25, 25, 45, 35)
    masks = masks_of(Things([(near_the_end_of_the_crop, 0.9, 20)]), crop_n_layers=1, crop_overlap_ratio=0.2)
    assert [mask.crop_box for mask in masks] == [(0, 0, 100, 100)]


def test_small_regions_are_removed_at_the_end() -> None:
    (mask,) = masks_of(Things([(SMALL, 0.9, 20)]), min_mask_region_area=50)
    assert mask.area == 400


def test_fast_mode_decodes_what_nothing_covers() -> None:
    things = [(LARGE, 0.95, 20.0), (SMALL, 0.9, 20.0)]
    exact, fast = Things(things), Things(things)
    assert boxes_of(masks_of(exact)) == boxes_of(masks_of(fast, mode="fast"))
    assert exact.prompted == 100
    # The first round has 25 points. The large thing covers 64 points of all, 16 of them in that round: 27 are left.
    assert fast.prompted == 25 + min(100 * 2 // 5 - 25, 27)
    covered = Things([((0, 0, 100, 100), 0.9, 20.0)])
    assert len(masks_of(covered, mode="fast")) == 1
    assert covered.prompted == 25


def test_the_result_does_not_depend_on_the_threads() -> None:
    things = [(SMALL, 0.9, 20.0), (OTHER, 0.9, 20.0), (LARGE, 0.9, 20.0)]
    for mode in ("exact", "fast"):
        options = EverythingOptions.of({"points_per_side": 9, "crop_n_layers": 1, "mode": mode})
        one, three = (
            generate(Things(things), options, SIZE, report=quiet, stopped=lambda: False, threads=threads)
            for threads in (1, 3)
        )
        assert one == three


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_progress_grows_to_the_total_with_the_masks_so_far(mode: str) -> None:
    seen: list[tuple[int, int, list[Box]]] = []
    options = EverythingOptions.of({"points_per_side": 10, "mode": mode, "crop_n_layers": 1})
    masks = generate(
        Things([(SMALL, 0.9, 20), (OTHER, 0.99, 20)]),
        options,
        SIZE,
        report=lambda done, total, so_far: seen.append((done, total, boxes_of(so_far()))),
        stopped=lambda: False,
    )
    done = [one for one, _, _ in seen]
    assert done == sorted(done)
    total = 500 if mode == "exact" else 200
    assert {most for _, most, _ in seen} == {total}
    assert done[-1] == total
    assert seen[0][2] == []
    assert seen[-1][2] == boxes_of(masks)
    assert [len(found) for _, _, found in seen] != [len(masks)] * len(seen)


def test_a_job_that_is_stopped_returns_what_it_found() -> None:
    things = Things([((0, 0, 20, 20), 0.9, 20), (OTHER, 0.9, 20)])
    asked = iter([False] * 6 + [True] * 100)
    assert boxes_of(masks_of(things, lambda: next(asked), crop_n_layers=1)) == [(0, 0, 20, 20)]
    assert things.prompted < 40
    assert len(things.asked) == 1


def test_a_job_that_is_stopped_at_once_asks_for_nothing() -> None:
    things = Things([(SMALL, 0.9, 20)])
    assert masks_of(things, lambda: True) == []
    assert things.asked == []


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_of_the_decoder_ends_the_job(threads: int) -> None:
    class Broken(ThingsInCrop):
        def decode(self, points: NDArray[np.float64], least_score: float) -> Iterator[DecodedMasks]:
            raise MemoryError

    things = Things([])
    with pytest.raises(MemoryError):
        generate(
            lambda crop: Broken(things, crop),
            EverythingOptions(),
            SIZE,
            report=quiet,
            stopped=lambda: False,
            threads=threads,
        )


def test_an_error_of_the_source_ends_the_job() -> None:
    def absent(_crop: CropBox) -> ThingsInCrop:
        raise InvalidParameter("no such crop")

    with pytest.raises(InvalidParameter, match="no such crop"):
        generate(absent, EverythingOptions(), SIZE, report=quiet, stopped=lambda: False)


def test_masks_that_would_fill_the_memory_end_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    with pytest.raises(InvalidParameter, match="raise pred_iou_thresh or stability_score_thresh"):
        masks_of(Things([(LARGE, 0.9, 20)]))


@pytest.mark.parametrize("logits", [smooth_logits(1), smooth_logits(2, detail=20), noisy_logits(3)])
@pytest.mark.parametrize("offset", [0.3, 1.0, 3.0])
def test_the_stability_is_that_of_the_logits_at_full_size(logits: NDArray[np.float32], offset: float) -> None:
    import torch

    size = (300, 451)
    full = torch.tensor(logits_of_sam(logits, size))
    expected = float(amg.calculate_stability_score(full[None], 0.0, offset)[0])

    class OneMask:
        def decode(self, points: NDArray[np.float64], least_score: float) -> Iterator[DecodedMasks]:
            return iter([])

        def mask_runs(self, logits: NDArray[np.float32]) -> ColumnRuns:
            return mask_runs(logits, size)

        def areas_above(self, logits: NDArray[np.float32], thresholds: NDArray[np.float32]) -> NDArray[np.int64]:
            return areas_above(logits, thresholds, size)

        def logits_at(self, logits: NDArray[np.float32], points: NDArray[np.float64]) -> NDArray[np.float32]:
            return np.zeros(0, np.float32)

    options = EverythingOptions(stability_score_thresh=0, stability_score_offset=offset)
    chosen = Filter(OneMask(), (0, 0, 451, 300), size, options)
    masks = DecodedMasks(logits[None], np.ones(1, np.float32))
    ((candidate, _),) = chosen.good(np.array([1.0, 1.0]), masks)
    assert float(candidate.stability) == pytest.approx(expected, abs=1e-5)
