"""Converting sizes and points between the original and the frame whose long side is 1024."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract.models import SAM1

SIDE = st.integers(1, 30_000)


@pytest.mark.parametrize(
    ("original", "resized"),
    [
        ((1200, 1800), (683, 1024)),
        ((1800, 1200), (1024, 683)),
        ((1024, 1024), (1024, 1024)),
        ((1, 1), (1024, 1024)),
        ((512, 1024), (512, 1024)),
        ((3, 2048), (2, 1024)),
        ((1, 2048), (1, 1024)),
        ((1, 5000), (1, 1024)),
    ],
)
def test_known_sizes(original: tuple[int, int], resized: tuple[int, int]) -> None:
    assert SAM1.frame.inside(original) == resized


@given(SIDE, SIDE)
def test_the_long_side_becomes_1024_and_the_other_keeps_the_ratio(height: int, width: int) -> None:
    new_height, new_width = SAM1.frame.inside((height, width))
    assert max(new_height, new_width) == 1024
    assert min(new_height, new_width) >= 1
    exact = 1024 * min(height, width) / max(height, width)
    assert abs(min(new_height, new_width) - exact) <= max(0.5001, 1 - exact)


@given(SIDE, SIDE)
def test_the_corners_of_the_original_are_the_corners_of_the_frame(height: int, width: int) -> None:
    new_height, new_width = SAM1.frame.inside((height, width))
    corners = SAM1.frame.points(np.array([[0.0, 0.0], [width, height]]), (height, width))
    assert corners.dtype == np.float32
    np.testing.assert_allclose(corners, [[0, 0], [new_width, new_height]], rtol=1e-6)


def test_points_keep_their_shape_and_are_not_changed_in_place() -> None:
    points = np.array([[[10.0, 20.0]], [[30.0, 40.0]]])
    before = points.copy()
    assert SAM1.frame.points(points, (100, 200)).shape == (2, 1, 2)
    assert np.array_equal(points, before)
    assert SAM1.frame.points(np.empty((0, 2)), (100, 200)).shape == (0, 2)
