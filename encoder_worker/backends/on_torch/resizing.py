"""Resizes pictures on the device, as Pillow resizes them on the host.

Pillow's bilinear resize goes along one axis, then along the other. Each new value is a weighted sum of a few old ones.
A frame of uint8 is computed in whole numbers, as Pillow does it, so every device gives the same bytes as Pillow. A
frame of float32 is computed in float64 and differs from Pillow's in the last bit of some numbers.

Source: Pillow's `ImagingResample` and `precompute_coeffs` (src/libImaging/Resample.c).
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shared.contract.frames import Frame, LongestSide, Squash
from shared.contract.geometry import Size

LARGEST = 16_000_000
"""Pixels of the largest picture that goes to the device. Larger ones would take more memory there than they save time:
the device needs 160 MB for one of this size (260 MB for frames of float32), the host 64 MiB of page-locked memory."""

_BITS = 22
"""Of the fraction of a weight, in whole numbers."""

_TRIED = ((900, 1400), (300, 200), (1024, 640), (1600, 800))
"""(height, width) of the pictures that show whether a device gives what Pillow gives. The last one is as tall as
`takes` allows, so it shows whether this Pillow goes along its columns first."""

_CLOSE = 1e-4
"""Most that a value of a float32 frame may differ from Pillow's, of 255."""

_log = logging.getLogger(__name__)


_KEPT = 64
"""Pairs of lengths whose weights are kept, because most pictures have one of a few sizes. Each takes up to 2 MB."""


class Resizer:
    """Resizes pictures into one frame. Thread-safe.

    On a GPU all calls must use one stream. What is kept between them was made on the stream of the first call, and its
    memory may be used again there when it is dropped.
    """

    def __init__(self, frame: LongestSide | Squash, device: torch.device) -> None:
        self._frame = frame
        whole = isinstance(frame, LongestSide)
        self._along = _in_whole_numbers if whole else _in_floats
        self._taps = lru_cache(maxsize=_KEPT)(partial(_taps, device, whole=whole))

    def takes(self, size: Size) -> bool:
        """Return whether a picture of this (height, width) can be resized here.

        Not one that is too large. Nor one that Pillow resizes along its columns first, as it does from version 13 with
        pictures of which it has to take away more than twice as many rows as columns.
        """
        height, width = size
        rows, columns = self._frame.inside(size)
        by_rows = isinstance(self._frame, Squash) or height - rows <= max(0, 2 * (width - columns))
        return height * width <= LARGEST and by_rows

    def resized(self, rgb: Tensor) -> Tensor:
        """Resize a picture into the frame.

        Args:
            rgb: (H, W, 3) uint8, on the device.

        Returns:
            (h, w, 3) of the frame's dtype on the device, with (h, w) = `frame.inside((H, W))`: what `frame.resize`
            returns.
        """
        height, width = rgb.shape[:2]
        wanted = self._frame.inside((height, width))
        first = 0 if isinstance(self._frame, Squash) and height > width else 1
        for axis in (first, 1 - first):
            if rgb.shape[axis] != wanted[axis]:  # an axis that keeps its length is left as it is
                rgb = self._along(rgb, axis, self._taps(rgb.shape[axis], wanted[axis]))
        return rgb.float() if isinstance(self._frame, Squash) else rgb


def proven_resizer(frame: Frame, device: torch.device) -> Resizer | None:
    """Return what resizes pictures on the device, or None if it does not give there what Pillow gives here.

    A log line says what differs.
    """
    if not isinstance(frame, LongestSide | Squash):
        return None
    tried = Resizer(frame, device)
    noise = np.random.default_rng(0)
    for height, width in _TRIED:
        picture = noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
        expected = frame.resize(picture)
        try:
            found = tried.resized(torch.from_numpy(picture).to(device)).cpu().numpy()
        except RuntimeError as error:
            _log.warning("the processors resize pictures, because %s cannot: %s", device, str(error).splitlines()[0])
            return None
        if not _is_same(found, expected):
            _log.warning("the processors resize pictures, because %s does it in another way than Pillow", device)
            return None
    return Resizer(frame, device)


def _is_same(found: NDArray[np.number], expected: NDArray[np.number]) -> bool:
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    if found.dtype == np.uint8:
        return np.array_equal(found, expected)
    return float(np.abs(found - expected).max()) <= _CLOSE


@dataclass(frozen=True, slots=True, eq=False)
class _Taps:
    """Which old values make each new one along an axis.

    Attributes:
        places: (K, new) int64, of the old values. Where there are fewer than K, the others have a weight of 0.
        weights: (K, new). float64, each column adds up to 1; or int32, the same in units of 2**-22.
    """

    places: Tensor
    weights: Tensor


def _taps(device: torch.device, old: int, new: int, *, whole: bool) -> _Taps:
    """
    Args:
        whole: whether the weights are whole numbers.
    """
    scale = old / new
    reach = max(scale, 1.0)
    centres = (np.arange(new) + 0.5) * scale
    first = np.maximum((centres - reach + 0.5).astype(np.int64), 0)
    end = np.minimum((centres + reach + 0.5).astype(np.int64), old)
    places = first + np.arange(2 * math.ceil(reach) + 1)[:, None]
    distances = np.abs((places - centres + 0.5) / reach)
    weights = np.where(places < end, np.maximum(1.0 - distances, 0.0), 0.0)
    weights /= weights.sum(axis=0)
    if whole:
        weights = (weights * (1 << _BITS) + 0.5).astype(np.int32)
    arrays = np.minimum(places, old - 1), weights
    return _Taps(*(torch.from_numpy(array).to(device) for array in arrays))


def _in_whole_numbers(pixels: Tensor, axis: int, taps: _Taps) -> Tensor:
    """Resize (H, W, 3) uint8 along an axis, to uint8."""
    total = _weighted_sum(pixels, axis, taps, start=1 << (_BITS - 1))
    return (total >> _BITS).clamp_(0, 255).to(torch.uint8)


def _in_floats(pixels: Tensor, axis: int, taps: _Taps) -> Tensor:
    """Resize (H, W, 3) along an axis, to float32."""
    return _weighted_sum(pixels, axis, taps, start=0).float()


def _weighted_sum(pixels: Tensor, axis: int, taps: _Taps, *, start: int) -> Tensor:
    shape = list(pixels.shape)
    shape[axis] = taps.places.shape[1]
    total = torch.full(shape, start, dtype=taps.weights.dtype, device=pixels.device)
    across = (-1, 1, 1) if axis == 0 else (1, -1, 1)
    for place, weight in zip(taps.places, taps.weights, strict=True):
        total.addcmul_(pixels.index_select(axis, place).to(taps.weights.dtype), weight.view(across))
    return total
