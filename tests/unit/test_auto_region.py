"""What low-res logits show of an object, and which region follows from it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prompt_api.models.interface import DecodedMasks
from prompt_api.models.sam1.boundary import mask_runs
from prompt_api.service.auto_region import AutoRegion
from prompt_api.service.prompts import ImagePrompt
from prompt_api.service.seen import box_of, is_cut
from shared.contract.frames import LongestSide, Squash
from shared.contract.geometry import Size
from shared.contract.models import SAM1
from shared.contract.region import Region

FRAME = SAM1.frame
ORIGINAL: Size = (4000, 6000)
CLICK = ImagePrompt(points=((3000.0, 2000.0),), labels=(1,))


def logits(*places: tuple[int, int, int, int]) -> NDArray[np.float32]:
    """Low-res logits that are positive in rectangles x0, y0, x1, y1 of their 256 x 256 places."""
    found = np.full((256, 256), -8, np.float32)
    for x0, y0, x1, y1 in places:
        found[y0:y1, x0:x1] = 8
    return found


def answer(*masks: NDArray[np.float32], scores: tuple[float, ...] = (0.9, 0.8, 0.7)) -> DecodedMasks:
    return DecodedMasks(np.stack(masks), np.array(scores[: len(masks)], np.float32))


@st.composite
def rectangles(draw: st.DrawFn) -> tuple[int, int, int, int]:
    x, y = draw(st.integers(0, 250)), draw(st.integers(0, 165))
    return x, y, x + draw(st.integers(1, 256 - x)), y + draw(st.integers(1, 171 - y))


@settings(max_examples=40)
@given(rectangles())
def test_the_box_is_that_of_the_mask_within_a_place_of_the_logits(place: tuple[int, int, int, int]) -> None:
    found = box_of(logits(place), FRAME, ORIGINAL)
    x, y, width, height = mask_runs(logits(place), ORIGINAL).bbox
    assert found is not None
    step = 6000 / 256
    assert np.allclose(found, (x, y, x + width, y + height), atol=step)


def test_nothing_has_no_box_and_padding_is_not_looked_at() -> None:
    assert box_of(logits(), FRAME, ORIGINAL) is None
    assert box_of(logits((0, 200, 256, 256)), FRAME, ORIGINAL) is None


def test_the_box_of_a_region_is_in_the_image() -> None:
    found = box_of(logits((0, 0, 128, 128)), FRAME, (512, 512), (1000, 2000))
    assert found == (1000, 2000, 1256, 2256)
    squashed = box_of(logits((64, 0, 128, 256)), Squash(1024), (512, 256), (0, 0))
    assert squashed == (64, 0, 128, 512)


REGION = Region(1000, 1000, 1512, 1256)
"""Twice as wide as high: its low half of the frame is padding."""


@pytest.mark.parametrize(
    ("place", "cut"),
    [
        ((1, 1, 255, 127), False),
        ((0, 50, 20, 60), True),
        ((236, 50, 256, 60), True),
        ((100, 0, 110, 20), True),
        ((100, 100, 110, 128), True),
        ((100, 140, 110, 256), False),
    ],
)
def test_a_mask_that_reaches_an_inner_edge_is_cut(place: tuple[int, int, int, int], cut: bool) -> None:
    assert is_cut(logits(place), FRAME, REGION, ORIGINAL) is cut


def test_a_mask_that_reaches_the_edge_of_the_image_is_not_cut() -> None:
    corner = Region(0, 0, 512, 512)
    assert not is_cut(logits((0, 0, 50, 50)), FRAME, corner, ORIGINAL)
    assert is_cut(logits((0, 0, 50, 256)), FRAME, corner, ORIGINAL)
    last = Region(5488, 3488, 6000, 4000)
    assert not is_cut(logits((200, 200, 256, 256)), FRAME, last, ORIGINAL)
    assert is_cut(logits((0, 200, 256, 256)), FRAME, last, ORIGINAL)


@given(rectangles())
def test_a_mask_is_cut_exactly_if_its_pixels_reach_an_inner_edge(place: tuple[int, int, int, int]) -> None:
    region = Region(200, 300, 200 + 768, 300 + 512)  # its visible part is 256 x 171 places
    runs = mask_runs(logits(place), region.size)
    height, width = region.size
    x, y, wide, high = runs.bbox
    reaches = x == 0 or y == 0 or x + wide == width or y + high == height
    assert is_cut(logits(place), LongestSide(1024), region, ORIGINAL) == reaches


def choice(first: DecodedMasks, *prompts: ImagePrompt) -> AutoRegion:
    made = AutoRegion(prompts or (CLICK,), FRAME, ORIGINAL)
    made.whole_image(0, first)
    return made


def test_the_region_is_around_the_mask_of_the_best_score() -> None:
    small, large = logits((126, 84, 130, 87)), logits((60, 40, 200, 130))
    region = choice(answer(large, small, scores=(0.8, 0.9))).of_masks()
    assert region is not None
    assert region.x0 < 126 * 23.4 < 130 * 23.5 < region.x1
    assert choice(answer(large, small, scores=(0.9, 0.8))).of_masks() is None


def test_an_empty_mask_says_nothing() -> None:
    assert choice(answer(logits())).of_masks() is None


def test_on_a_ground_the_smallest_region_around_the_click_is_a_guess() -> None:
    made = choice(answer(logits((0, 0, 256, 171))))
    region = made.of_masks()
    assert region is not None
    assert made.is_guess
    assert max(region.size) == 512
    assert region.x0 < 3000 < region.x1
    assert region.y0 < 2000 < region.y1


def test_a_click_away_from_everything_is_no_guess() -> None:
    away = ImagePrompt(points=((3000.0, 2000.0),), labels=(0,))
    assert choice(answer(logits((0, 0, 256, 171))), away).of_masks() is None


@pytest.mark.parametrize(
    ("masks", "cut"),
    [
        ([(100, 100, 120, 120), (100, 100, 121, 121), (0, 0, 256, 256)], False),
        ([(100, 100, 120, 120), (0, 0, 256, 256), (0, 0, 256, 256)], True),
        ([(0, 100, 120, 120), (100, 100, 121, 121), (90, 90, 130, 130)], True),
        ([(100, 100, 120, 120)], False),
    ],
)
def test_a_guess_shows_a_thing_if_two_masks_end_inside_the_region(
    masks: list[tuple[int, int, int, int]], cut: bool
) -> None:
    made = choice(answer(logits((0, 0, 256, 171))))
    region = made.of_masks()
    assert region is not None
    made.in_region(region)(0, answer(*map(logits, masks)))
    assert made.is_cut is cut
    assert made.larger() is None  # the whole image has answered


def test_each_larger_region_has_at_least_twice_the_side_until_the_whole_image() -> None:
    made = choice(answer(logits((126, 84, 130, 87))))
    region, sides = made.of_masks(), []
    while region is not None:
        sides.append(max(region.size))
        made.in_region(region)(0, answer(logits((0, 100, 256, 110))))
        assert made.is_cut
        region = made.larger()
    assert sides == [512, 1024, 2048]


def test_one_cut_mask_of_several_prompts_is_enough() -> None:
    made = AutoRegion((CLICK, CLICK), FRAME, ORIGINAL)
    region = Region(2816, 1792, 3328, 2304)
    see = made.in_region(region)
    see(0, answer(logits((0, 10, 20, 20))))
    see(1, answer(logits((100, 100, 120, 120))))
    assert made.is_cut
    assert made.larger() is not None
