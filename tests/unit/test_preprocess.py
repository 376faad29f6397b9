"""Normalising and padding, checked number by number. The parity tests compare it with segment_anything."""

from __future__ import annotations

import numpy as np
import pytest

from encoder_worker.backends.onnx.preprocess import normalise_and_pad
from shared.contract.models import IMAGENET, MOBILE_SAM


@pytest.mark.parametrize("size", [(1024, 1024), (683, 1024), (1024, 1), (1, 1024)])
def test_pixels_are_normalised_and_the_rest_is_zero(size: tuple[int, int]) -> None:
    height, width = size
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    frame = normalise_and_pad(image, MOBILE_SAM)
    assert frame.shape == (1, 3, 1024, 1024)
    assert frame.dtype == np.float32
    expected = (image - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)
    np.testing.assert_allclose(frame[0, :, :height, :width], expected.transpose(2, 0, 1), rtol=1e-5, atol=1e-6)
    assert not frame[0, :, height:].any()
    assert not frame[0, :, :, width:].any()


def test_the_image_is_left_as_it_was() -> None:
    image = np.full((8, 1024, 3), 200, dtype=np.uint8)
    image.flags.writeable = False
    normalise_and_pad(image, MOBILE_SAM)
