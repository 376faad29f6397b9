"""Regions: what is one, what is the whole image, and how each is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.errors import InvalidParameter
from shared.contract.geometry import MAX_SIDE
from shared.contract.region import LEAST_SIDE, Corners, Region, parse_region, region_in

ORIGINAL = (600, 800)


@given(st.integers(0, 9_000), st.integers(0, 9_000), st.integers(16, 9_000), st.integers(16, 9_000))
def test_each_region_has_one_text_and_is_read_from_it(x: int, y: int, width: int, height: int) -> None:
    region = Region(x, y, x + width, y + height)
    assert Region.read(region.text) == region
    assert parse_region(region.text.replace("-", ",")) == region.corners
    assert region.size == (height, width)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1-2-3",
        "0-0-0-16",
        "0-0-16-16\n",
        "0-0-016-16",
        "-1-0-16-16",
        "0-0-16-99999",
        "0-0-16.0-16",
        "٣-0-16-16",
        None,
        7,
    ],
)
def test_no_other_text_is_read(text: object) -> None:
    with pytest.raises(ValueError, match="not a region"):
        Region.read(text)


@pytest.mark.parametrize(
    "text",
    ["", "0,0,16", "0,0,16,16,16", "0, 0, 16, 16", "0.0,0,16,16", "-1,0,16,16", "1e3,0,16,16", "a,b,c,d", "٣,0,16,16"],
)
def test_a_parameter_is_four_whole_numbers(text: str) -> None:
    with pytest.raises(InvalidParameter, match="four whole numbers"):
        parse_region(text)


@given(st.tuples(*[st.integers(-20, 820)] * 4))
def test_a_region_lies_in_its_image_and_has_some_pixels(corners: Corners) -> None:
    x0, y0, x1, y1 = corners
    fits = 0 <= x0 <= x1 - LEAST_SIDE <= 800 - LEAST_SIDE and 0 <= y0 <= y1 - LEAST_SIDE <= 600 - LEAST_SIDE
    if not fits:
        with pytest.raises(InvalidParameter):
            region_in(corners, ORIGINAL)
        return
    region = region_in(corners, ORIGINAL)
    if corners == (0, 0, 800, 600):
        assert region is None
    else:
        assert region is not None
        assert region.corners == corners
        assert region.lies_in(ORIGINAL)


@pytest.mark.parametrize(
    "corners", [(0, 0, 801, 600), (-1, 0, 800, 600), (0, 0, 0, 600), (5, 5, 5, 5), (700, 0, 10, 600)]
)
def test_outside_or_empty_is_refused_and_the_image_s_size_is_told(corners: Corners) -> None:
    with pytest.raises(InvalidParameter, match="inside the 800x600 image") as refused:
        region_in(corners, ORIGINAL)
    assert refused.value.extra == {"width": 800, "height": 600}


def test_fifteen_pixels_are_too_few_and_sixteen_are_enough() -> None:
    with pytest.raises(InvalidParameter, match="at least 16 pixels"):
        region_in((0, 0, 15, 600), ORIGINAL)
    assert region_in((0, 0, 16, 600), ORIGINAL) == Region(0, 0, 16, 600)


@pytest.mark.parametrize("original", [(600, 800), (1, 1), (8, 3000), (MAX_SIDE, MAX_SIDE)])
def test_the_whole_image_is_no_region_however_small_it_is(original: tuple[int, int]) -> None:
    height, width = original
    assert region_in((0, 0, width, height), original) is None


def test_no_region_is_larger_than_the_largest_image() -> None:
    with pytest.raises(InvalidParameter):
        Region(0, 0, MAX_SIDE + 1, 16)


def test_a_region_of_one_image_may_be_outside_another_or_all_of_it() -> None:
    region = Region(0, 0, 800, 600)
    assert not region.lies_in((600, 800))
    assert not region.lies_in((599, 900))
    assert region.lies_in((601, 800))
