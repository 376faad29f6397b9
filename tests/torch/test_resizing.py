"""A device resizes pictures as Pillow does."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from encoder_worker.backends.on_torch import resizing
from encoder_worker.backends.on_torch.resizing import LARGEST, Resizer, proven_resizer
from shared.contract.frames import LongestSide, Squash

CPU = torch.device("cpu")


def noise(height: int, width: int, seed: int = 0, *, hard: bool = False) -> NDArray[np.uint8]:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.where(pixels > 127, 255, 0).astype(np.uint8) if hard else pixels


sides = st.integers(1, 300)


@given(sides, sides, st.integers(8, 200), st.integers(0, 9), st.booleans())
@example(64, 64, 64, 0, False)
@example(1, 1, 100, 0, False)
@example(1, 300, 64, 0, True)
@example(100, 200, 100, 0, False)
def test_a_longest_side_frame_has_the_bytes_that_pillow_gives(
    height: int, width: int, side: int, seed: int, hard: bool
) -> None:
    frame = LongestSide(side)
    resizer = Resizer(frame, CPU)
    picture = noise(height, width, seed, hard=hard)
    assume(resizer.takes((height, width)))
    np.testing.assert_array_equal(resizer.resized(torch.from_numpy(picture)).numpy(), frame.resize(picture))


@given(sides, sides, st.integers(8, 200), st.integers(0, 9))
def test_a_squash_frame_differs_from_pillows_in_the_last_bit_alone(
    height: int, width: int, side: int, seed: int
) -> None:
    frame = Squash(side)
    resizer = Resizer(frame, CPU)
    picture = noise(height, width, seed)
    assert resizer.takes((height, width))
    found = resizer.resized(torch.from_numpy(picture))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), frame.resize(picture), rtol=2e-7, atol=2e-5)


@pytest.mark.parametrize("size", [(1200, 1800), (1800, 1200), (3000, 4000), (640, 1024), (333, 500)])
def test_pictures_of_real_sizes_have_the_bytes_that_pillow_gives(size: tuple[int, int]) -> None:
    frame, picture = LongestSide(1024), noise(*size)
    resizer = Resizer(frame, CPU)
    assert resizer.takes(size)
    np.testing.assert_array_equal(resizer.resized(torch.from_numpy(picture)).numpy(), frame.resize(picture))


@pytest.mark.parametrize("name", ["coffee", "astronaut", "chelsea", "rocket"])
def test_photos_have_the_bytes_that_pillow_gives(name: str) -> None:
    photo = np.ascontiguousarray(getattr(skimage.data, name)())
    frame = LongestSide(1024)
    for rgb in (photo, np.ascontiguousarray(np.tile(photo, (3, 4, 1)))):
        found = Resizer(frame, CPU).resized(torch.from_numpy(rgb)).numpy()
        np.testing.assert_array_equal(found, frame.resize(rgb))


def test_what_is_too_large_or_too_tall_is_left_to_the_host() -> None:
    resizer = Resizer(LongestSide(1024), CPU)
    assert resizer.takes((4000, 4000))
    assert not resizer.takes((4001, 4000))
    assert LARGEST == 4000 * 4000
    assert resizer.takes((3000, 1500))
    assert not resizer.takes((3000, 1400))
    assert resizer.takes((300, 100)), "Pillow makes small pictures larger along their rows first"


@pytest.mark.parametrize("frame", [LongestSide(1024), Squash(1024)])
def test_a_device_that_gives_the_same_is_used(frame: LongestSide | Squash) -> None:
    assert proven_resizer(frame, CPU) is not None


def test_a_device_that_gives_something_else_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(resizing, "_BITS", 8)
    assert proven_resizer(LongestSide(1024), CPU) is None
    assert "in another way than Pillow" in caplog.text


def test_a_pillow_that_takes_other_pictures_along_their_columns_first_is_noticed() -> None:
    class Columns(LongestSide):
        def resize(self, rgb: NDArray[np.uint8] | Image.Image) -> NDArray[np.uint8]:
            height, width = rgb.shape[:2] if isinstance(rgb, np.ndarray) else (rgb.height, rgb.width)
            inside = self.inside((height, width))
            if height - inside[0] > 1.5 * (width - inside[1]) > 0:
                shorter = Image.fromarray(np.asarray(rgb)).resize((width, inside[0]), Image.Resampling.BILINEAR)
                return np.asarray(shorter.resize(inside[::-1], Image.Resampling.BILINEAR))
            return super().resize(rgb)

    assert proven_resizer(Columns(1024), CPU) is None


def test_a_device_that_cannot_do_it_is_not_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")

    monkeypatch.setattr(resizing, "_weighted_sum", fails)
    assert proven_resizer(LongestSide(1024), CPU) is None
    assert caplog.messages == [
        "the processors resize pictures, because cpu cannot: "
        "CUDA error: no kernel image is available for execution on the device"
    ]
