"""Finds the batch that suits a GPU: larger ones would not fit, or would hardly be faster."""

from __future__ import annotations

from collections.abc import Callable

from encoder_worker.backends.on_torch.batches import power_of_two

MOST = 16
"""Images of the largest batch that is tried. An upload waits for the whole batch that its image is in."""

GAIN = 1.05
"""A batch twice as large is worth it from this factor in images per second. On an H200 ViT-H gained 1.14 from 1 to 4
images, and 1.005 from 4 to 8 (2026-11-26)."""

_SHARE = 0.8
"""Of the free memory that a batch may take. The rest is for another process on the GPU, and for what varies."""


def largest_that_fits(free: int, image: int, most: int = MOST) -> int:
    """Images of the largest batch, a power of two, that fits the memory.

    Args:
        free: bytes of the device that nobody uses.
        image: bytes that one image takes while it is encoded.
        most: images that are never exceeded.

    Returns:
        At least 1: one image did fit, or there would be no number for it.
    """
    return max(1, power_of_two(max(1, min(most, int(_SHARE * free / max(1, image))))))


def best_batch(most: int, seconds_of: Callable[[int], float]) -> int:
    """Images of the smallest batch, a power of two, whose double is hardly faster.

    Args:
        most: images of the largest batch that is tried.
        seconds_of: encodes so many images at once and returns the seconds that it took.
    """
    best, rate = 1, 1 / seconds_of(1)
    while 2 * best <= most:
        larger = 2 * best / seconds_of(2 * best)
        if larger < GAIN * rate:
            break
        best, rate = 2 * best, larger
    return best
