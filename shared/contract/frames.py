"""Frames: how an image is placed in the square input of an image encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

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

    def inside(self, original: Size) -> Size:
        """Return the (height, width) of the image in the frame.

        The image starts at the top left of the frame. The rest of the frame is padding.
        """
        ...

    def resize(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize the image to its size in the frame.

        Args:
            rgb: (H, W, 3) uint8.

        Returns:
            (h, w, 3) uint8, with (h, w) = `inside((H, W))`.
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

    def inside(self, original: Size) -> Size:
        """Round each side half up, to at least one pixel.

        segment_anything rounds the short side of a 1x5000 image to zero and fails.

        Source: ResizeLongestSide.get_preprocess_shape.
        """
        height, width = original
        scale = self.side * 1.0 / max(height, width)
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))

    def resize(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resize bilinearly, with antialiasing.

        Source: ResizeLongestSide.apply_image. It calls torchvision's resize with a PIL image, which calls PIL's resize.
        """
        height, width = self.inside((rgb.shape[0], rgb.shape[1]))
        return np.array(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))

    def points(self, points: NDArray[np.float64], original: Size) -> NDArray[np.float32]:
        """Scale each axis by its own rounded ratio, in float64.

        Source: ResizeLongestSide.apply_coords.
        """
        height, width = original
        new_height, new_width = self.inside(original)
        scaled = np.asarray(points, dtype=np.float64) * np.array([new_width / width, new_height / height])
        return np.asarray(scaled, dtype=np.float32)
