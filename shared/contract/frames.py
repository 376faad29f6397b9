"""Frames: how an image lies in the square that an image encoder sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from shared.contract.geometry import Size


class Frame(Protocol):
    """The strategy of a model: resize an image into the frame, and find points of the image there.

    The way back, from logits over the frame to a mask of the original, belongs to the decoder of the model.
    """

    @property
    def name(self) -> str:
        """What clients call this strategy."""
        ...

    @property
    def side(self) -> int:
        """Pixels of each side of the frame."""
        ...

    def inside(self, original: Size) -> Size:
        """(height, width) of the image in the frame, from its top left. The rest of the frame is padding."""
        ...

    def resize(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image at the size it has in the frame.

        Args:
            rgb: (H, W, 3) uint8.

        Returns:
            (h, w, 3) uint8, with (h, w) = `inside((H, W))`.
        """
        ...

    def points(self, points: NDArray[np.float64], original: Size) -> NDArray[np.float32]:
        """Points of the original, (..., 2) as (x, y), as points of the frame.

        Args:
            original: (height, width).
        """
        ...


@dataclass(frozen=True, slots=True)
class LongestSide:
    """The frame of SAM: the long side fills it, the aspect ratio stays, zeros pad the right and the bottom.

    Source: segment_anything.utils.transforms.ResizeLongestSide.

    Attributes:
        side: pixels of each side of the frame.
    """

    side: int

    @property
    def name(self) -> str:
        return "longest_side"

    def inside(self, original: Size) -> Size:
        """Each side is rounded half up. A side has at least one pixel: segment_anything rounds the short side of a
        1x5000 image to zero and fails.

        Source: ResizeLongestSide.get_preprocess_shape.
        """
        height, width = original
        scale = self.side * 1.0 / max(height, width)
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))

    def resize(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bilinear with antialiasing.

        Source: ResizeLongestSide.apply_image, which is torchvision's resize of a PIL image, which is PIL's.
        """
        height, width = self.inside((rgb.shape[0], rgb.shape[1]))
        return np.array(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))

    def points(self, points: NDArray[np.float64], original: Size) -> NDArray[np.float32]:
        """Each axis is scaled by its own rounded ratio, in float64.

        Source: ResizeLongestSide.apply_coords.
        """
        height, width = original
        new_height, new_width = self.inside(original)
        scaled = np.asarray(points, dtype=np.float64) * np.array([new_width / width, new_height / height])
        return np.asarray(scaled, dtype=np.float32)
