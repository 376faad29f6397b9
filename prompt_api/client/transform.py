"""`segment_anything.utils.transforms.ResizeLongestSide` without torch, for tools that ask a predictor for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.contract.geometry import Size, resized_size
from shared.contract.models import IMAGE_SIZE
from shared.images.reading import resize_longest_side


class ResizeLongestSide:
    """From pixels of an original to pixels of SAM's input frame, whose long side is 1024."""

    target_length = IMAGE_SIZE

    def apply_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, resized."""
        return resize_longest_side(image)

    def apply_coords(self, coords: NDArray[Any], original_size: tuple[int, ...]) -> NDArray[np.float64]:
        """(..., 2) points (x, y) of an original of (height, width), float64, in the input frame."""
        return np.asarray(coords, np.float64) * _ratios(original_size)

    def apply_boxes(self, boxes: NDArray[Any], original_size: tuple[int, ...]) -> NDArray[np.float64]:
        """(B, 4) boxes, as `apply_coords`."""
        return self.apply_coords(np.asarray(boxes).reshape(-1, 2, 2), original_size).reshape(-1, 4)

    def apply_coords_torch(self, coords: Any, original_size: tuple[int, ...]) -> Any:
        """`apply_coords` of a torch tensor, float32, on its device."""
        scaled = coords.float()
        return scaled * scaled.new_tensor(_ratios(original_size).tolist())

    def apply_boxes_torch(self, boxes: Any, original_size: tuple[int, ...]) -> Any:
        """`apply_boxes` of a torch tensor, float32, on its device."""
        return self.apply_coords_torch(boxes.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    @staticmethod
    def get_preprocess_shape(oldh: int, oldw: int, long_side_length: int) -> Size:
        """(height, width) in the input frame.

        Raises:
            ValueError: another long side than SAM's.
        """
        if long_side_length != IMAGE_SIZE:
            raise ValueError(f"SAM's long side is {IMAGE_SIZE}, not {long_side_length}")
        return resized_size((oldh, oldw))


def to_original(coords: NDArray[Any], original: Size) -> NDArray[np.float64]:
    """The way back: (..., 2) points (x, y) of the input frame in pixels of the original, float64.

    Scaled forth again by the service, each is the same float32 as before.
    """
    return np.asarray(coords, np.float64) / _ratios(original)


def _ratios(original: tuple[int, ...]) -> NDArray[np.float64]:
    """(x, y) factors from the original to the input frame."""
    height, width = original[:2]
    new_height, new_width = resized_size((height, width))
    return np.array([new_width / width, new_height / height])
