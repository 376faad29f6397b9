"""A mask as low-res logits: each cell by whether at least half of it is inside."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from prompt_api.masks import low_res
from prompt_api.masks.low_res import INSIDE, low_res_logits
from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.sam1.boundary import mask_runs as runs_of_sam1
from prompt_api.models.sam2.boundary import mask_runs as runs_of_sam2
from shared.contract.frames import Frame, LongestSide, Squash
from tests.support.masks_material import painted, runs_of, smooth_logits

FRAMES = {"longest side": (LongestSide(1024), runs_of_sam1), "squash": (Squash(1024), runs_of_sam2)}
SIZES = [(64, 64), (33, 1000), (900, 40), (300, 450), (1024, 768)]


def logits_of(runs: ColumnRuns, frame: Frame) -> NDArray[np.float32]:
    return low_res_logits(runs, frame, 256, runs.size, (0, 0))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FRAMES)
def test_the_mask_of_the_logits_is_nearly_the_mask(name: str, size: tuple[int, int]) -> None:
    frame, mask_runs = FRAMES[name]
    runs = mask_runs(smooth_logits(3, detail=4), size)
    again = painted(mask_runs(logits_of(runs, frame), size))
    mask = painted(runs)
    assert (again & mask).sum() / (again | mask).sum() > 0.95


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FRAMES)
def test_padding_is_zero_and_everything_else_one_of_two_values(name: str, size: tuple[int, int]) -> None:
    frame, _ = FRAMES[name]
    height, width = frame.inside(size)
    cells = logits_of(runs_of(np.ones(size, bool)), frame)
    rows, columns = -(-height // 4), -(-width // 4)
    assert (cells[:rows, :columns] == np.float32(INSIDE)).all()
    assert not cells[rows:].any()
    assert not cells[:, columns:].any()
    nothing = logits_of(runs_of(np.zeros(size, bool)), frame)
    assert np.array_equal(nothing, -cells)


def test_half_a_cell_is_inside_and_less_is_not() -> None:
    mask = np.zeros((1024, 1024), bool)
    mask[0:2, 0:4] = True  # half of the first cell
    mask[0:2, 4:8] = True
    mask[0, 4] = False  # less than half of the second
    cells = logits_of(runs_of(mask), LongestSide(1024))
    assert (cells[0, :3] > 0).tolist() == [True, False, False]


def test_each_cell_is_counted_as_a_mean_of_its_pixels() -> None:
    mask = np.random.default_rng(1).random((1024, 1024)) < 0.5
    share = mask.reshape(256, 4, 256, 4).mean(axis=(1, 3))
    cells = logits_of(runs_of(mask), Squash(1024))
    assert np.array_equal(cells > 0, share >= 0.5)


def test_of_a_region_only_its_part_of_the_mask_counts() -> None:
    mask = painted(runs_of_sam1(smooth_logits(5), (300, 450)))
    part = mask[40:200, 100:400]
    found = low_res_logits(runs_of(mask), LongestSide(1024), 256, (160, 300), (100, 40))
    assert np.array_equal(found, logits_of(runs_of(part), LongestSide(1024)))


def test_wide_masks_are_summed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = runs_of_sam1(smooth_logits(5), (300, 450))
    whole = logits_of(runs, Squash(1024))
    monkeypatch.setattr(low_res, "_COLUMNS", 7)
    assert np.array_equal(logits_of(runs, Squash(1024)), whole)
