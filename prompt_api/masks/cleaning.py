"""Cleans a mask, from its runs: fills holes, removes specks, keeps one part.

A part is a set of 4-connected pixels, as in `prompt_api.masks.polygons`: pixels that touch only at a corner belong to
different parts, so each part is one polygon. A hole is a set of 8-connected pixels of background that does not reach
the edge of the image, so each hole is enclosed by one part. `remove_small_regions` of segment-anything takes
8-connected parts, and also fills background at the edge of the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.parts import areas_of_parts, part_of_each_run
from prompt_api.masks.runs import ColumnRuns, runs_between

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class Keep(StrEnum):
    """Which parts of a mask stay."""

    ALL = "all"
    LARGEST = "largest"
    CLICKED = "clicked"


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What is cleaned. By default nothing is.

    Attributes:
        fill_holes: holes of at most so many pixels are filled.
        remove_specks: with `Keep.ALL`, parts of at most so many pixels are removed, except the largest part.
        keep: which parts stay, after holes are filled. LARGEST is the part of most pixels; of several, the one that
            begins in the leftmost column, and there the topmost. CLICKED are the parts that contain the pixel of a
            click. If no click is on a part, it is the part nearest to a click, and without any click the largest.
    """

    fill_holes: int = 0
    remove_specks: int = 0
    keep: Keep = Keep.ALL

    @property
    def changes_nothing(self) -> bool:
        return self.fill_holes == 0 and self.remove_specks == 0 and self.keep is Keep.ALL


AS_IT_IS = Cleaning()
"""Cleans nothing."""


def clean(runs: ColumnRuns, cleaning: Cleaning, clicks: NDArray[np.float64]) -> ColumnRuns:
    """Return the cleaned mask. Cleaning it again changes nothing more.

    The time grows with the number of runs, not with the size of the image.

    Args:
        clicks: (N, 2) as (x, y), in pixels of the mask; N may be 0. A click outside the image counts as one on the
            nearest pixel.
    """
    if cleaning.fill_holes and runs.x.size:
        runs = _without_holes(runs, cleaning.fill_holes)
    if (not cleaning.remove_specks and cleaning.keep is Keep.ALL) or not runs.x.size:
        return runs
    parts = part_of_each_run(runs, by_corners=False)
    areas = areas_of_parts(runs, parts)
    if len(areas) == 1:
        return runs
    kept = np.zeros(len(areas), dtype=bool)
    if cleaning.keep is Keep.ALL:
        kept = areas > cleaning.remove_specks
        kept[np.argmax(areas)] = True
    elif cleaning.keep is Keep.LARGEST or not len(clicks):
        kept[np.argmax(areas)] = True
    else:
        kept[parts[_clicked_runs(runs, clicks)]] = True
    return runs.chosen(kept[parts])


def _without_holes(runs: ColumnRuns, most: int) -> ColumnRuns:
    height = runs.size[0]
    background = runs.background(range(int(runs.x[0]), int(runs.x[-1]) + 1))
    holes = part_of_each_run(background, by_corners=True)
    areas = areas_of_parts(background, holes)
    is_open = (background.top == 0) | (background.bottom == height)
    is_open |= (background.x == runs.x[0]) | (background.x == runs.x[-1])
    fills = areas <= most
    fills[holes[is_open]] = False
    filled = background.chosen(fills[holes])
    if not filled.x.size:
        return runs
    places = height + 1
    changes = np.concatenate([one.x * places + y for one in (runs, filled) for y in (one.top, one.bottom)])
    changes.sort()
    return runs_between(changes, runs.size)


def _clicked_runs(runs: ColumnRuns, clicks: NDArray[np.float64]) -> Ints:
    """Return the numbers of the runs that contain a click, or else the number of the run nearest to a click."""
    height, width = runs.size
    pixels = np.floor(clicks).astype(np.int64).clip(0, (width - 1, height - 1))
    places = height + 1
    at = pixels[:, 0] * places + pixels[:, 1]
    above = np.searchsorted(runs.x * places + runs.top, at, side="right") - 1
    on_it = (above >= 0) & (at < (runs.x * places + runs.bottom)[above])
    if on_it.any():
        clicked: Ints = above[on_it]
        return clicked
    distances = reduce(np.minimum, (_squared_distances(runs, x, y) for x, y in pixels.tolist()))
    return np.array([np.argmin(distances)])


def _squared_distances(runs: ColumnRuns, x: int, y: int) -> Ints:
    """Return the squared distance from pixel (x, y) to the nearest pixel of each run."""
    across, down = runs.x - x, np.maximum(np.maximum(runs.top - y, y - runs.bottom + 1), 0)
    distances: Ints = across * across + down * down
    return distances
