"""Compares SAM 2's frame with the transforms that `sam2.utils.transforms.SAM2Transforms` is made of."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray

from encoder_worker.backends.on_torch.torchvision_operators import ensure_torchvision_imports
from shared.contract.geometry import Size
from shared.contract.models import IMAGENET, SAM2

ensure_torchvision_imports()

from torchvision.transforms import Normalize, Resize, ToTensor  # noqa: E402  # it cannot be imported earlier

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def assert_same_pixels(rgb: NDArray[np.uint8]) -> None:
    side = SAM2.frame.side
    transforms = torch.nn.Sequential(Resize((side, side)), Normalize(MEAN, STD))
    expected = transforms(ToTensor()(rgb)).permute(1, 2, 0).numpy()
    resized = SAM2.frame.resize(rgb)
    assert resized.dtype == np.float32
    normalised = (resized - np.array(IMAGENET.mean)) / np.array(IMAGENET.std)
    np.testing.assert_allclose(normalised, expected, atol=1e-5)


@pytest.mark.parametrize("photo", ["astronaut", "coffee", "chelsea"])
def test_photos_are_resized_as_meta_s_transforms_do(photo: str) -> None:
    assert_same_pixels(getattr(skimage.data, photo)())


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (2500, 3), (1024, 1024), (2100, 1300)])
def test_images_of_any_size_are_resized_as_meta_s_transforms_do(size: Size) -> None:
    assert_same_pixels(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))


def test_points_are_scaled_as_meta_s_transforms_do() -> None:
    points = np.random.default_rng(0).uniform(0, 1000, (50, 2))
    given = torch.as_tensor(points, dtype=torch.float)
    expected = torch.stack([given[:, 0] / 777, given[:, 1] / 333], dim=1) * SAM2.frame.side
    np.testing.assert_array_equal(SAM2.frame.points(points, (333, 777)), expected.numpy())
    assert SAM2.frame.points(np.empty((0, 2)), (333, 777)).shape == (0, 2)
    assert SAM2.frame.inside((333, 777)) == (1024, 1024)
