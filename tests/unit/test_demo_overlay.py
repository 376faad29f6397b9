"""The picture the demo writes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from deploy.local.overlay import draw_overlay, mask_of


def left_half(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[:, : width // 2] = True
    return mask


@pytest.mark.parametrize("seed", range(5))
def test_an_rle_becomes_the_mask_it_was_made_from(seed: int) -> None:
    coarse = np.random.default_rng(seed).random((7, 9)) > 0.5
    mask = np.kron(coarse, np.ones((11, 13))).astype(np.bool_)
    rle = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    np.testing.assert_array_equal(mask_of({"size": rle["size"], "counts": rle["counts"].decode()}), mask)


def test_the_mask_is_tinted_and_the_rest_left_alone() -> None:
    photo = Image.new("RGB", (100, 60), "white")
    picture = np.asarray(draw_overlay(photo, left_half(60, 100), point=(20, 30)))
    assert picture.shape == (60, 100, 3)
    assert tuple(picture[5, 5]) != (255, 255, 255)
    assert tuple(picture[5, 95]) == (255, 255, 255)


def test_the_point_is_marked_where_it_was_set() -> None:
    photo = Image.new("RGB", (100, 60), "white")
    picture = np.asarray(draw_overlay(photo, np.zeros((60, 100), dtype=np.bool_), point=(70, 40)))
    red, green, blue = picture[40, 70]
    assert red > green
    assert red > blue
    assert tuple(picture[5, 5]) == (255, 255, 255)


def test_an_empty_mask_and_a_grey_photo_can_be_drawn() -> None:
    photo = Image.new("L", (40, 30), 128)
    assert draw_overlay(photo, np.zeros((30, 40), dtype=np.bool_), point=(0, 0)).size == (40, 30)
