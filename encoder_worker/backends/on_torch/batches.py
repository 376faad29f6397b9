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
        self.largest = _power_of_two(largest)

    @property
    def sizes(self) -> list[int]:
        """Every size that a batch may have, the largest first."""
        return [1 << power for power in reversed(range(self.largest.bit_length()))]

    def run(self, items: Sequence[_In], work: Callable[[Sequence[_In]], list[_Out]]) -> list[_Out]:
        """The results of `work` for all items, in order, from as few batches as fit.

        Raises:
            torch.OutOfMemoryError: not even one item fits.
        """
        results: list[_Out] = []
        while len(results) < len(items):
            count = min(self.largest, _power_of_two(len(items) - len(results)))
            try:
                results += work(items[len(results) : len(results) + count])
                continue
            except torch.OutOfMemoryError:
                if count == 1:
                    raise
            # The memory is free only here: inside the handler the exception's frames still hold tensors.
            torch.cuda.empty_cache()
            self.largest = count // 2
            _log.warning("the device's memory is too small for a batch of %d: from now on %d", count, self.largest)
        return results


def _power_of_two(count: int) -> int:
    """The largest power of two that is at most `count`."""
    return 1 << (count.bit_length() - 1)
