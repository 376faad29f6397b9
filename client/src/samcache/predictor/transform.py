"""`segment_anything.utils.transforms.ResizeLongestSide` without torch, for tools that ask a predictor for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from samcache.arrays.frame import FRAME_SIZE, Size, resized_size
from samcache.arrays.pixels import resize_longest_side


class ResizeLongestSide:
    """Brings images, points and boxes into SAM's input frame, in which the long side of an image is 1024."""

    target_length = FRAME_SIZE

    def apply_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """An (H, W, 3) uint8 image, resized to the frame."""
        return resize_longest_side(image)

    def apply_coords(self, coords: NDArray[Any], original_size: tuple[int, ...]) -> NDArray[np.float64]:
        """Points (..., 2) of an original of (height, width), in the frame: float64, as (x, y)."""
        return np.asarray(coords, np.float64) * _ratios(original_size)

    def apply_boxes(self, boxes: NDArray[Any], original_size: tuple[int, ...]) -> NDArray[np.float64]:
        """Boxes (B, 4), as `apply_coords`."""
        return self.apply_coords(np.asarray(boxes).reshape(-1, 2, 2), original_size).reshape(-1, 4)

    def apply_coords_torch(self, coords: Any, original_size: tuple[int, ...]) -> Any:
        """`apply_coords` for a torch tensor. The result is float32, on the same device."""
        scaled = coords.float()
        return scaled * scaled.new_tensor(_ratios(original_size).tolist())

    def apply_boxes_torch(self, boxes: Any, original_size: tuple[int, ...]) -> Any:
        """`apply_boxes` for a torch tensor. The result is float32, on the same device."""
        return self.apply_coords_torch(boxes.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    @staticmethod
    def get_preprocess_shape(oldh: int, oldw: int, long_side_length: int) -> Size:
        """(height, width) of an image in the frame.

        Raises:
            ValueError: the long side differs from SAM's.
        """
        if long_side_length != FRAME_SIZE:
            raise ValueError(f"SAM's long side is {FRAME_SIZE}, not {long_side_length}")
        return resized_size((oldh, oldw))


def to_original(coords: NDArray[Any], original: Size) -> NDArray[np.float64]:
    """Points (..., 2) of the frame, in pixels of the original: float64, as (x, y).

    The service brings them back into the frame, where each is the same float32 as before.
    """
    return np.asarray(coords, np.float64) / _ratios(original)


def _ratios(original: tuple[int, ...]) -> NDArray[np.float64]:
    """The factors for x and y from the original to the frame."""
    height, width = original[:2]
    new_height, new_width = resized_size((height, width))
    return np.array([new_width / width, new_height / height])
