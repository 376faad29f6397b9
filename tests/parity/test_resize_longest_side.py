"""The resized frame is segment_anything's, pixel for pixel."""

from __future__ import annotations

import numpy as np
import pytest

from encoder_worker.backends.sam1.torchvision_operators import ensure_torchvision_imports
from shared.geometry import resized_size, to_resized_frame
from shared.images import resize_longest_side
from shared.models import IMAGE_SIZE

SIZES = [(400, 600), (600, 400), (1024, 1024), (1500, 2251), (97, 31), (683, 1024), (3000, 2000), (333, 1000)]


@pytest.mark.parametrize("size", SIZES)
def test_pixels_and_coordinates_equal_those_of_resize_longest_side(size: tuple[int, int]) -> None:
    ensure_torchvision_imports()
    from segment_anything.utils.transforms import ResizeLongestSide

    transform = ResizeLongestSide(IMAGE_SIZE)
    random = np.random.default_rng(size[0])
    image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = transform.apply_image(image)
    assert resized_size(size) == expected.shape[:2]
    assert np.array_equal(resize_longest_side(image), expected)
    points = random.uniform(0, max(size), (50, 2))
    assert np.array_equal(to_resized_frame(points, size), transform.apply_coords(points, size).astype(np.float32))
