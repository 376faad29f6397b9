"""Work in batches that fit the memory of the device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

_In = TypeVar("_In")
_Out = TypeVar("_Out")

_log = logging.getLogger(__name__)


class FittingBatches:
    """Runs batches. When one does not fit the device's memory, all later batches are half as large.

    A batch has 1, 2, 4, … images: a compiled network must be prepared for each size, so there are few.

    Attributes:
        largest: images of the largest batch that is tried.
    """

    def __init__(self, largest: int) -> None:
        self.largest = power_of_two(largest)

    def run(self, items: Sequence[_In], work: Callable[[Sequence[_In]], _Out]) -> list[_Out]:
        """The results of `work` for as few batches as fit, which have all items in order.

        Raises:
            torch.OutOfMemoryError: not even one item fits.
        """
        results: list[_Out] = []
        begun = 0
        while begun < len(items):
            count = min(self.largest, power_of_two(len(items) - begun))
            try:
                results.append(work(items[begun : begun + count]))
                begun += count
                continue
            except torch.OutOfMemoryError:
                if count == 1:
                    raise
            # The memory is free only here: inside the handler the exception's frames still hold tensors.
            torch.cuda.empty_cache()
            self.largest = count // 2
            _log.warning("the device's memory is too small for a batch of %d: from now on %d", count, self.largest)
        return results


def power_of_two(count: int) -> int:
    """The largest power of two that is at most `count`."""
    return 1 << (count.bit_length() - 1)
