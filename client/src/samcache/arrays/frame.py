"""Sizes, and SAM's input frame: the image resized so that its long side is 1024, padded with zeros to a square.

All sizes are (height, width) in pixels, as in segment_anything. The service has these numbers too. A test of
the project checks that both are equal.
"""

from __future__ import annotations

Size = tuple[int, int]
"""(height, width)."""

FRAME_SIZE = 1024
"""Side in pixels of the square frame that SAM's image encoder sees."""

LOW_RES_SIZE = 256
"""Side in pixels of the low-res logits. They cover the whole frame."""

EMBEDDING_SHAPE = (1, 256, 64, 64)
"""(B, C, H, W) of the embedding of one image."""


def resized_size(original: Size) -> Size:
    """(height, width) of the image in the frame, before padding: the long side is 1024, the other rounded half up.

    Source: segment_anything.utils.transforms.ResizeLongestSide.get_preprocess_shape. A side is at least one pixel
    here: an image of 1x5000 keeps its row, where the original rounds it to zero and fails.
    """
    height, width = original
    scale = FRAME_SIZE * 1.0 / max(height, width)
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
