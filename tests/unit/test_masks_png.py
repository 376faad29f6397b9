"""A mask as a PNG has one bit per pixel and decodes to the same pixels."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from prompt_api.masks.png import encode_png
from prompt_api.models.sam1.boundary import mask_runs
from tests.support.masks_material import noisy_logits, painted, runs_of, smooth_logits


def decoded(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png), formats=["PNG"])
    image.load()
    return image


@settings(deadline=None)
@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=70)))
def test_a_png_decodes_to_the_mask(mask: NDArray[np.bool_]) -> None:
    image = decoded(encode_png(runs_of(mask)))
    assert image.mode == "1"
    assert (np.asarray(image) == mask).all()


@pytest.mark.parametrize("logits", [smooth_logits(2), noisy_logits(2)], ids=["smooth", "noisy"])
@pytest.mark.parametrize("original", [(1200, 1800), (1801, 1201)])
def test_the_png_of_a_photo_sized_mask_decodes_to_its_pixels(
    logits: NDArray[np.float32], original: tuple[int, int]
) -> None:
    runs = mask_runs(logits, original)
    assert (np.asarray(decoded(encode_png(runs))) == painted(runs)).all()


def test_the_header_says_one_bit_greyscale() -> None:
    png = encode_png(runs_of(np.eye(3, 9, dtype=bool)))
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert png[12:29] == b"IHDR" + b"\0\0\0\x09" + b"\0\0\0\x03" + bytes([1, 0, 0, 0, 0])
