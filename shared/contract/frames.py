"""Frames: how an image is placed in the square input of an image encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.contract.geometry import Size


class Frame(Protocol):
    """How a model resizes an image into its frame and maps points of the image into it.

    The model's decoder does the reverse: it turns logits over the frame into a mask of the original.
    """

    @property
    def name(self) -> str:
        """Name of this kind of frame, as clients see it."""
        ...

    @property
    def side(self) -> int:
        """Length of each side of the frame, in pixels."""
        ...

    @property
    def pixels(self) -> np.dtype[Any]:
        """The dtype of resized pixels: uint8, or float32 if the model's own predictor does not round them."""
        ...

    def inside(self, original: Size) -> Size:
        """Return the (height, width) of the image in the frame.

        The image starts at the top left of the frame. The rest of the frame is padding.
        """
        ...

    def resize(self, rgb: NDArray[np.uint8] | Image.Image) -> NDArray[Any]:
        """Resize the image to its size in the frame.

        Args:
            rgb: (H, W, 3) uint8, or Pillow's picture of mode RGB, which some frames resize without a copy.

        Returns:
            (h, w, 3) of the dtype `pixels`, 0 to 255, with (h, w) = `inside((H, W))`.
        """
        ...

    def points(self, points: NDArray[np.float64], original: Size) -> NDArray[np.float32]:
        """Map points of the original to points of the frame.

        Args:
            points: (..., 2) as (x, y).
            original: (height, width).
        """
        ...


@dataclass(frozen=True, slots=True)
class LongestSide:
    """SAM's frame: the image's long side fills it, the aspect ratio is kept, zeros pad the right and the bottom.

    Source: segment_anything.utils.transforms.ResizeLongestSide.

    Attributes:
        side: length of each side of the frame, in pixels.
    """

    side: int

    @property
    def name(self) -> str:
        return "longest_side"

    @property
    def pixels(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    def inside(self, original: Size) -> Size:
        """Round each side half up, to at least one pixel.

        segment_anything rounds the short side of a 1x5000 image to zero and fails.

        Source: ResizeLongestSide.get_preprocess_shape.
        """
        height, width = original
        scale = self.side * 1.0 / max(height, width)
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))

    def resize(self, rgb: NDArray[np.uint8] | Image.Image) -> NDArray[np.uint8]:
        """Resize bilinearly, with antialiasing.

        Source: ResizeLongestSide.apply_image. It calls torchvision's resize with a PIL image, which calls PIL's resize.
        """
        if not isinstance(rgb, Image.Image):
            return self.resize(Image.fromarray(rgb))
        height, width = self.inside((rgb.height, rgb.width))
        resized = rgb.resize((width, height), Image.Resampling.BILINEAR)
        del rgb  # if nobody else has it, its memory is free for the array
        return np.array(resized)

    def points(self, points: NDArray[np.float64], original: Size) -> NDArray[np.float32]:
        """Scale each axis by its own rounded ratio, in float64.

        Source: ResizeLongestSide.apply_coords.
        """
        height, width = original
        new_height, new_width = self.inside(original)
        scaled = np.asarray(points, dtype=np.float64) * np.array([new_width / width, new_height / height])
        return np.asarray(scaled, dtype=np.float32)


_STRIP_PIXELS = 1 << 20
"""Pixels that `Squash` turns into floats at once. This limits its memory for large images."""


@dataclass(frozen=True, slots=True)
class Squash:
    """SAM 2's frame: the image fills the whole square, so its aspect ratio is not kept and there is no padding.

    Source: sam2.utils.transforms.SAM2Transforms.

    Attributes:
        side: length of each side of the frame, in pixels.
    """

    side: int

    @property
    def name(self) -> str:
        return "squash"

    @property
    def pixels(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    def inside(self, original: Size) -> Size:  # noqa: ARG002 - of `Frame`
        """Return (side, side), for every image."""
        return self.side, self.side

    def resize(self, rgb: NDArray[np.uint8] | Image.Image) -> NDArray[np.float32]:
        """Resize bilinearly, with antialiasing, in float32: first the longer side, then the shorter.

        Pillow's mode "F" computes the same as torchvision's resize of a float tensor. Lines along the longer side do
        not depend on each other, so the first step goes through the image in strips. What it leaves is at most as large
        as for a square image.

        Returns:
            (side, side, 3) float32, 0 to 255, not rounded.

        Source: SAM2Transforms.__call__. It divides by 255 first, which is the same for a linear operation.
        """
        pixels: NDArray[np.uint8] = np.asarray(rgb)
        tall = pixels.shape[0] > pixels.shape[1]
        lines = pixels.transpose(1, 0, 2) if tall else pixels
        count, length = lines.shape[:2]
        step = max(1, _STRIP_PIXELS // length)
        result = np.empty((self.side, self.side, 3), dtype=np.float32)
        for channel in range(3):
            along = np.empty((count, self.side), dtype=np.float32)
            for start in range(0, count, step):
                strip = lines[start : start + step, :, channel].astype(np.float32, order="C")
                along[start : start + step] = _resized(strip, self.side, len(strip))
            square = _resized(along, self.side, self.side)
            result[:, :, channel] = square.T if tall else square
        return result

    def points(self, points: NDArray[np.float64], original: Size) -> NDArray[np.float32]:
        """Scale x by side / width and y by side / height, in float32 and in the order of the source.

        Source: SAM2Transforms.transform_coords.
        """
        height, width = original
        unit = np.asarray(points, dtype=np.float32) / np.array([width, height], dtype=np.float32)
        return np.asarray(unit * np.float32(self.side), dtype=np.float32)


_KINDS: dict[str, Callable[[int], Frame]] = {"longest_side": LongestSide, "squash": Squash}


def frame_named(name: str, side: int) -> Frame:
    """Return the frame of this kind and side.

    Raises:
        KeyError: there is no such kind.
    """
    return _KINDS[name](side)


def _resized(channel: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """Resize (H, W) float32 to (height, width), bilinearly and with antialiasing."""
    return np.asarray(Image.fromarray(channel).resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)
