"""Compares the image encoder's input with segment_anything's own `ResizeLongestSide` and `Sam.preprocess`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import skimage.data
import torch

from encoder_worker.backends.on_torch.torchvision_operators import ensure_torchvision_imports
from encoder_worker.backends.onnx.preprocess import normalise_and_pad
from shared.contract.models import MOBILE_SAM, SAM1

ensure_torchvision_imports()

from segment_anything.modeling import Sam  # noqa: E402  # it cannot be imported earlier
from segment_anything.utils.transforms import ResizeLongestSide  # noqa: E402


class Unused(torch.nn.Module):
    """Replaces the networks, because preprocessing uses only the encoder's frame."""

    img_size = SAM1.frame.side


@pytest.fixture(scope="module")
def sam() -> Any:
    return Sam(image_encoder=Unused(), prompt_encoder=Unused(), mask_decoder=Unused())


@pytest.mark.parametrize("photo", ["astronaut", "coffee", "chelsea", "rocket"])
def test_the_encoder_sees_exactly_what_segment_anything_shows_it(sam: Any, photo: str) -> None:
    rgb = getattr(skimage.data, photo)()
    resized = ResizeLongestSide(SAM1.frame.side).apply_image(rgb)
    expected = sam.preprocess(torch.as_tensor(resized).permute(2, 0, 1)[None])
    np.testing.assert_array_equal(normalise_and_pad(SAM1.frame.resize(rgb), MOBILE_SAM), expected.numpy())
