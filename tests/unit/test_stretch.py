"""Channels are stretched as micro-sam does it, for images of any size."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from encoder_worker.decoding import stretch
from encoder_worker.decoding.stretch import stretched


def reference(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what the formula gives for the whole image at once."""
    image = rgb.astype(np.float32)
    image -= image.min(axis=(0, 1))
    image /= image.max(axis=(0, 1)) + np.float32(1e-7)
    return (image * np.float32(255)).astype(np.uint8)


@pytest.mark.parametrize("strip", [1 << 20, 50], ids=["one strip", "many strips"])
def test_each_channel_covers_the_whole_range(strip: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretch, "_STRIP_PIXELS", strip)
    generator = np.random.default_rng(0)
    rgb = np.stack([generator.integers(low, high, (40, 30)) for low, high in ((10, 60), (0, 256), (200, 203))], axis=2)
    rgb = rgb.astype(np.uint8)
    rgb.flags.writeable = False
    result = stretched(rgb)
    np.testing.assert_array_equal(result, reference(rgb))
    assert result.min(axis=(0, 1)).tolist() == [0, 0, 0]
    assert (result.max(axis=(0, 1)) >= 254).all()


def test_a_channel_of_one_number_becomes_black() -> None:
    np.testing.assert_array_equal(stretched(np.full((3, 5, 3), 77, np.uint8)), np.zeros((3, 5, 3), np.uint8))


def test_an_image_wider_than_a_strip_is_stretched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretch, "_STRIP_PIXELS", 10)
    rgb = np.random.default_rng(1).integers(5, 9, (4, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(stretched(rgb), reference(rgb))
