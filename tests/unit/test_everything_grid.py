"""Points and crops, compared with segment_anything's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_api.everything.grid import crop_boxes, crops, point_grid
from prompt_api.everything.options import EverythingOptions
from tests.support.automatic import amg


@pytest.mark.parametrize("per_side", [1, 2, 3, 7, 32, 128])
def test_points_are_the_centres_of_cells(per_side: int) -> None:
    np.testing.assert_array_equal(point_grid(per_side), amg.build_point_grid(per_side))


@given(
    height=st.integers(40, 3000),
    width=st.integers(40, 3000),
    layers=st.integers(0, 3),
    ratio=st.floats(0, 1),
    factor=st.integers(1, 2),
)
def test_crops_are_those_of_segment_anything(height: int, width: int, layers: int, ratio: float, factor: int) -> None:
    options = EverythingOptions(
        points_per_side=9, crop_n_layers=layers, crop_overlap_ratio=ratio, crop_n_points_downscale_factor=factor
    )
    boxes, of_layer = amg.generate_crop_boxes((height, width), layers, ratio)
    grids = amg.build_all_layer_point_grids(9, layers, factor)
    ours = crops(options, (height, width))
    assert [list(crop.box) for crop in ours] == boxes
    assert crop_boxes(options, (height, width)) == [tuple(box) for box in boxes]
    for crop, layer in zip(ours, of_layer, strict=True):
        scale = np.array([crop.size[1], crop.size[0]])
        np.testing.assert_array_equal(crop.points(), grids[layer] * scale)


@given(height=st.integers(1, 12), width=st.integers(1, 12))
def test_crops_of_a_tiny_image_lie_in_it(height: int, width: int) -> None:
    boxes = crop_boxes(EverythingOptions(points_per_side=2, crop_n_layers=3), (height, width))
    assert boxes[0] == (0, 0, width, height)
    for x0, y0, x1, y1 in boxes:
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
