"""Removes the small holes and islands of masks, then the masks that became duplicates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prompt_api.everything.candidates import Candidate
from prompt_api.everything.suppression import kept_boxes
from prompt_api.masks.parts import areas_of_parts, part_of_each_run
from prompt_api.masks.runs import ColumnRuns


def without_small_regions(candidates: Sequence[Candidate], least_area: int, most_iou: float) -> list[Candidate]:
    """Return the masks without small regions. Of two that are alike now, one that did not change stays.

    Args:
        least_area: holes and islands of fewer pixels are removed.
        most_iou: masks are alike if the IoU of their boxes is larger.

    Source: SamAutomaticMaskGenerator.postprocess_small_regions.
    """
    if not candidates:
        return []
    cleaned = [_cleaned(candidate, least_area) for candidate in candidates]
    unchanged = np.array([new is old for new, old in zip(cleaned, candidates, strict=True)], np.float32)
    boxes = np.array([candidate.box for candidate in cleaned])
    return [cleaned[index] for index in kept_boxes(boxes, unchanged, most_iou)]


def without_holes(runs: ColumnRuns, least_area: int) -> ColumnRuns:
    """Fill each 8-connected part of the background that has fewer pixels, also at the edge of the image.

    It returns `runs` itself if there is none.

    Source: `remove_small_regions` of segment_anything.utils.amg, mode "holes".
    """
    background = inverted(runs)
    parts = part_of_each_run(background, by_corners=True)
    small = (areas_of_parts(background, parts) < least_area)[parts]
    if not small.any():
        return runs
    return inverted(background.chosen(~small))


def without_islands(runs: ColumnRuns, least_area: int) -> ColumnRuns:
    """Remove each 8-connected part of the mask that has fewer pixels. If all have, the first of the largest stays.

    It returns `runs` itself if there is none.

    Source: `remove_small_regions` of segment_anything.utils.amg, mode "islands".
    """
    parts = part_of_each_run(runs, by_corners=True)
    areas = areas_of_parts(runs, parts)
    large = areas >= least_area
    if large.all():
        return runs
    if not large.any():
        large[_first_of_the_largest(runs, parts, areas)] = True
    return runs.chosen(large[parts])


def inverted(runs: ColumnRuns) -> ColumnRuns:
    """Return the background of a mask as runs."""
    return runs.background(range(runs.size[1]))


def _cleaned(candidate: Candidate, least_area: int) -> Candidate:
    """Return the candidate without small regions, or the same object if it has none."""
    runs = candidate.runs
    cleaned = without_islands(without_holes(runs, least_area), least_area)
    return candidate if cleaned is runs else candidate.with_runs(cleaned)


def _first_of_the_largest(runs: ColumnRuns, parts: NDArray[np.int64], areas: NDArray[np.int64]) -> int:
    """Return the number of the largest part. Of several, it is the one with the topmost pixel, there the leftmost."""
    among = np.flatnonzero((areas == areas.max())[parts])
    return int(parts[among[np.lexsort((runs.x[among], runs.top[among]))[0]]])
