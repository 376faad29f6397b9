"""The resized frame equals segment_anything's, pixel for pixel."""

from __future__ import annotations

import numpy as np
import pytest

from encoder_worker.backends.on_torch.torchvision_operators import ensure_torchvision_imports
from shared.contract.models import SAM1

SIZES = [(400, 600), (600, 400), (1024, 1024), (1500, 2251), (97, 31), (683, 1024), (3000, 2000), (333, 1000)]


@pytest.mark.parametrize("size", SIZES)
def test_pixels_and_coordinates_equal_those_of_resize_longest_side(size: tuple[int, int]) -> None:
    ensure_torchvision_imports()
    from segment_anything.utils.transforms import ResizeLongestSide

    transform = ResizeLongestSide(SAM1.frame.side)
    random = np.random.default_rng(size[0])
    image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    expected = transform.apply_image(image)
    assert SAM1.frame.inside(size) == expected.shape[:2]
    assert np.array_equal(SAM1.frame.resize(image), expected)
    points = random.uniform(0, max(size), (50, 2))
    assert np.array_equal(SAM1.frame.points(points, size), transform.apply_coords(points, size).astype(np.float32))
