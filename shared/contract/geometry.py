"""Coordinate frames: the EXIF-oriented original and the resized frame whose long side is 1024.

All sizes are (height, width) in pixels, as in segment_anything. Points are (x, y), x right, y down,
continuous, with the centre of the top-left pixel at (0.5, 0.5) once the prompt encoder adds its half.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shared.contract.models import IMAGE_SIZE

Size = tuple[int, int]
"""(height, width)."""


def resized_size(original: Size) -> Size:
    """(height, width) after `ResizeLongestSide(1024)`: long side 1024, the other rounded half up.

    Source: segment_anything.utils.transforms.ResizeLongestSide.get_preprocess_shape. One pixel is the
    least a side can be: a 1x5000 image keeps a row (the original rounds it to zero and fails).
    """
    height, width = original
    scale = IMAGE_SIZE * 1.0 / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def to_resized_frame(points: NDArray[np.float64], original: Size) -> NDArray[np.float32]:
    """Points of the original, (..., 2) as (x, y), in the frame of the resized image, float32.

    Source: ResizeLongestSide.apply_coords, which scales each axis by its own rounded ratio in float64.
    """
    height, width = original
    new_height, new_width = resized_size(original)
    scaled = np.asarray(points, dtype=np.float64) * np.array([new_width / width, new_height / height])
    return np.asarray(scaled, dtype=np.float32)
