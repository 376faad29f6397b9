"""The choice of a region: it holds its objects, suits their size, and is shared by neighbours."""

from __future__ import annotations

from hypothesis import assume, example, given
from hypothesis import strategies as st

from prompt_api.service.lattice import GAIN, MARGIN, ROOM, SHARED, SMALLEST, STEPS, Box, holds, region_around
from shared.contract.geometry import Size
from shared.contract.region import Region

ORIGINAL: Size = (4000, 6000)

SIZES = st.tuples(st.integers(1, 9_000), st.integers(1, 9_000))


@st.composite
def boxes_in(draw: st.DrawFn, original: Size, most: float = 9_000) -> Box:
    """A box that begins inside the image and may reach out of it."""
    height, width = original
    x, y = draw(st.floats(0, width - 0.5)), draw(st.floats(0, height - 0.5))
    return x, y, x + draw(st.floats(0.5, most)), y + draw(st.floats(0.5, most))


@given(SIZES, st.data())
def test_a_region_is_one_of_the_image_and_holds_the_object_away_from_its_inner_edges(
    original: Size, data: st.DataObject
) -> None:
    box = data.draw(boxes_in(original))
    region = region_around([box], original)
    if region is None:
        return
    assert region.lies_in(original)
    height, width = original
    assert holds(region, (box[0], box[1], min(box[2], width), min(box[3], height)), original)


@given(st.data())
def test_it_is_the_smallest_of_the_sizes_that_leaves_room(data: st.DataObject) -> None:
    box = data.draw(boxes_in(ORIGINAL, most=500))
    box = (box[0], box[1], min(box[2], 6000.0), min(box[3], 4000.0))
    largest = max(box[2] - box[0], box[3] - box[1])
    region = region_around([box], ORIGINAL)
    assert region is not None
    side = max(region.size)
    assert side >= ROOM * largest
    assert side == SMALLEST or side / 2 < ROOM * largest
    assert side in (SMALLEST * 2**power for power in range(8))


@given(st.data())
def test_it_is_on_the_lattice_or_the_object_is_in_its_middle_or_at_the_edge_of_the_image(data: st.DataObject) -> None:
    x0, y0, x1, y1 = box = data.draw(boxes_in(ORIGINAL, most=500))
    assume(x1 <= 6000 and y1 <= 4000)
    region = region_around([box], ORIGINAL)
    assert region is not None
    side = max(region.size)
    for start, low, high, whole in ((region.x0, x0, x1, 6000), (region.y0, y0, y1, 4000)):
        on_lattice = start % (side // STEPS) == 0 or start in (0, whole - side)
        assert on_lattice or abs(start + side / 2 - (low + high) / 2) <= 1


@given(st.floats(0, 5900), st.floats(0, 3900), st.floats(10, 60), st.floats(10, 60))
def test_two_objects_in_one_place_share_a_region(x: float, y: float, width: float, height: float) -> None:
    box = (x, y, x + width, y + height)
    assert region_around([box], ORIGINAL) == region_around([(x, y, x + width, y + height)], ORIGINAL)


def test_neighbours_share_a_region() -> None:
    first = region_around([(1000, 1000, 1060, 1050)], ORIGINAL)
    assert first == region_around([(1070, 1010, 1130, 1060)], ORIGINAL) == Region(768, 768, 1280, 1280)


@given(st.lists(boxes_in(ORIGINAL, most=300), min_size=1, max_size=5))
def test_a_region_holds_all_of_several_objects(boxes: list[Box]) -> None:
    region = region_around(boxes, ORIGINAL)
    if region is None:
        return
    for x0, y0, x1, y1 in boxes:
        assert holds(region, (x0, y0, min(x1, 6000.0), min(y1, 4000.0)), ORIGINAL)


@given(st.data(), st.integers(1, 6_000))
def test_a_region_asked_to_be_larger_is(data: st.DataObject, least: int) -> None:
    region = region_around([data.draw(boxes_in(ORIGINAL, most=300))], ORIGINAL, least=least)
    assert region is None or max(region.size) >= least


def test_what_hardly_gains_is_the_whole_image() -> None:
    side = int(SMALLEST * GAIN)
    small = [(10.0, 10.0, 20.0, 20.0)]
    assert region_around(small, (side - 1, side - 1)) is None
    assert region_around(small, (side, side)) is not None
    assert region_around([(0, 0, 2000, 2000)], ORIGINAL) is None


@given(st.data())
@example(None)
def test_a_ready_region_is_taken_if_it_holds_the_object_and_is_not_much_too_large(data: st.DataObject | None) -> None:
    box: Box = (1000, 1000, 1060, 1050) if data is None else data.draw(boxes_in(ORIGINAL, most=SMALLEST / ROOM))
    assume(box[2] <= 6000 and box[3] <= 4000)
    for side in (SMALLEST, SHARED * SMALLEST, 4 * SMALLEST):
        x, y = (min(max(0, int(low - side / 2)), whole - side) for low, whole in ((box[0], 6000), (box[1], 4000)))
        ready = Region(x, y, x + side, y + side)
        chosen = region_around([box], ORIGINAL, ready=[Region(0, 0, 16, 16), ready])
        assert (chosen == ready) == (side <= SHARED * SMALLEST) or chosen == region_around([box], ORIGINAL)


def test_of_two_ready_regions_the_smaller_is_taken() -> None:
    ready = [Region(500, 500, 1524, 1524), Region(800, 800, 1312, 1312)]
    assert region_around([(1000, 1000, 1060, 1050)], ORIGINAL, ready=ready) == ready[1]
    assert region_around([(600, 600, 640, 650)], ORIGINAL, ready=ready) == region_around(
        [(600, 600, 640, 650)], ORIGINAL, ready=ready[:1]
    )


def test_an_object_near_the_edge_of_a_region_is_not_held() -> None:
    region = Region(512, 512, 1024, 1024)
    margin = MARGIN * 512
    assert holds(region, (512 + margin, 600, 700, 700), ORIGINAL)
    assert not holds(region, (512 + margin - 1, 600, 700, 700), ORIGINAL)
    assert not holds(region, (600, 600, 1024 - margin + 1, 700), ORIGINAL)
    assert holds(Region(0, 0, 512, 512), (0, 0, 40, 40), ORIGINAL)
    assert not holds(Region(0, 0, 512, 512), (600, 20, 640, 60), ORIGINAL)
