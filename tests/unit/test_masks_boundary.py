"""The mask found along its boundary equals that of SAM's two resizes and threshold, and that of SAM 2's one resize."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prompt_api.masks.runs import ColumnRuns
from prompt_api.models.sam1 import boundary as sam1
from prompt_api.models.sam2 import boundary as sam2
from shared.contract.geometry import Size
from tests.support.masks_material import logits_of_sam, logits_of_sam2, noisy_logits, painted, smooth_logits

Floats = NDArray[np.float32]

FIFTY_MEGAPIXELS = (5773, 8660)
SIZES = [
    (1, 1), (1, 5000), (3000, 1), (2, 3), (7, 900), (333, 500), (640, 480), (683, 1024), (1024, 1024), (1200, 1800),
    (1800, 1200), (2100, 2099), (40, 20_000),
]  # fmt: skip


@dataclass(frozen=True)
class Geometry:
    """A model's own way from low-res logits to logits at full size, and the module under test."""

    mask_runs: Callable[[Floats, Size], ColumnRuns]
    areas_above: Callable[[Floats, Floats, Size], NDArray[np.int64]]
    logits: Callable[[Floats, Size], Floats]

    def assert_same_mask(self, logits: Floats, original: Size) -> ColumnRuns:
        expected = self.logits(logits, original)
        runs = self.mask_runs(logits, original)
        different = painted(runs) != (expected > 0)
        assert np.abs(expected[different]).max(initial=0) < 1e-5
        assert different.mean() < 1e-6
        return runs


GEOMETRIES = [
    Geometry(sam1.mask_runs, sam1.areas_above, logits_of_sam),
    Geometry(sam2.mask_runs, sam2.areas_above, logits_of_sam2),
]


@pytest.fixture(params=GEOMETRIES, ids=["sam1", "sam2"])
def geometry(request: pytest.FixtureRequest) -> Geometry:
    return cast(Geometry, request.param)


@pytest.mark.parametrize("original", SIZES)
@pytest.mark.parametrize("detail", [1, 6, 40])
def test_a_mask_equals_sams_at_any_size(geometry: Geometry, original: Size, detail: int) -> None:
    geometry.assert_same_mask(smooth_logits(detail, detail), original)


@pytest.mark.parametrize("original", SIZES)
def test_a_mask_that_changes_everywhere_equals_sams(geometry: Geometry, original: Size) -> None:
    geometry.assert_same_mask(noisy_logits(1), original)


def test_a_mask_of_fifty_megapixels_equals_sams(geometry: Geometry) -> None:
    geometry.assert_same_mask(smooth_logits(3), FIFTY_MEGAPIXELS)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    values=st.lists(
        st.sampled_from([-30.0, -1.0, -1e-3, -1e-45, 0.0, 1e-45, 1e-38, 1e-19, 1e-3, 1.0, 30.0]), min_size=1, max_size=5
    ),
    grain=st.sampled_from([1, 2, 5, 64]),
    height=st.integers(1, 1500),
    width=st.integers(1, 1500),
)
@example(seed=0, values=[1e-45, 1.0, -1.0], grain=1, height=1500, width=1499)
def test_plateaus_zeros_and_vanishing_logits_give_sams_mask(
    seed: int, values: list[float], grain: int, height: int, width: int
) -> None:
    cells = np.random.default_rng(seed).choice(np.array(values, dtype=np.float32), size=(256, 256))
    logits = np.repeat(np.repeat(cells, grain, axis=0), grain, axis=1)[:256, :256]
    for geometry in GEOMETRIES:
        expected = geometry.logits(logits, (height, width))
        different = painted(geometry.mask_runs(logits, (height, width))) != (expected > 0)
        assert np.abs(expected[different]).max(initial=0) < 1e-5


@pytest.mark.parametrize("original", SIZES)
@pytest.mark.parametrize(("logit", "inside"), [(-3.0, False), (0.0, False), (-0.0, False), (3.0, True)])
def test_one_logit_everywhere_is_all_or_nothing_and_zero_is_outside(
    geometry: Geometry, original: Size, logit: float, inside: bool
) -> None:
    runs = geometry.mask_runs(np.full((256, 256), logit, dtype=np.float32), original)
    assert (painted(runs) == inside).all()


def test_logits_over_the_padding_do_not_reach_the_mask() -> None:
    logits = np.full((256, 256), -5, dtype=np.float32)
    logits[172:] = 5
    assert sam1.mask_runs(logits, (1200, 1800)).area == 0


def test_one_positive_logit_in_a_corner_is_found(geometry: Geometry) -> None:
    logits = np.full((256, 256), -1, dtype=np.float32)
    logits[0, 0] = 1
    runs = geometry.assert_same_mask(logits, (1800, 1200))
    assert runs.area > 0
    assert runs.bbox[:2] == (0, 0)


def test_logits_are_left_as_they_were(geometry: Geometry) -> None:
    logits = smooth_logits(5)
    logits[0, 0] = 1e-30
    logits.setflags(write=False)
    geometry.mask_runs(logits, (480, 640))


@pytest.mark.parametrize("logits", [smooth_logits(7), noisy_logits(7)], ids=["smooth", "noisy"])
def test_fifty_megapixels_take_less_memory_than_a_byte_a_pixel(geometry: Geometry, logits: Floats) -> None:
    tracemalloc.start()
    try:
        geometry.mask_runs(logits, FIFTY_MEGAPIXELS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < FIFTY_MEGAPIXELS[0] * FIFTY_MEGAPIXELS[1]


@pytest.mark.parametrize("original", [*SIZES, (2, 7000)])
def test_areas_above_thresholds_are_those_of_sams_logits(geometry: Geometry, original: Size) -> None:
    logits = np.stack([smooth_logits(1, 3), smooth_logits(2, 30), noisy_logits(3), np.full((256, 256), 2, np.float32)])
    thresholds = np.array([1, 0, -1, 2.5], np.float32)
    areas = geometry.areas_above(logits, thresholds, original)
    assert areas.shape == (4, 4)
    for mask, counted in zip(logits, areas, strict=True):
        full = geometry.logits(mask, original)
        assert counted[1] == geometry.mask_runs(mask, original).area
        for threshold, area in zip(thresholds, counted, strict=True):
            certain = np.count_nonzero(full > threshold + 1e-5), np.count_nonzero(full > threshold - 1e-5)
            assert certain[0] <= area <= certain[1]


def test_no_masks_have_no_areas(geometry: Geometry) -> None:
    assert geometry.areas_above(np.zeros((0, 256, 256), np.float32), np.ones(2, np.float32), (50, 60)).shape == (0, 2)
