"""The objects that a search has so far, without duplicates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prompt_api.similar.interface import SAME, Found
from prompt_api.similar.outlines import Bits


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """A mask on the low-res grid: its S * S bits, and how many of them are set."""

    packed: NDArray[np.uint8]
    area: int

    @classmethod
    def of(cls, bits: NDArray[np.bool_]) -> _Shape:
        return cls(np.packbits(bits), int(np.count_nonzero(bits)))

    def same(self, other: _Shape) -> bool:
        shared = int(np.bitwise_count(self.packed & other.packed).sum())
        return shared > SAME * (self.area + other.area - shared)


class Candidates:
    """Keeps of several masks of one object the most similar one.

    Which masks are the same is decided on the low-res grid.
    """

    def __init__(self, refused: Bits) -> None:
        """Args:
        refused: (N, S, S), masks of objects that are left out.
        """
        self._refused = [_Shape.of(bits) for bits in refused]
        self._kept: list[tuple[_Shape, Found]] = []

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, bits: NDArray[np.bool_], similarity: float, found: Callable[[], Found]) -> None:
        """Take a mask, unless it is refused, or a more similar mask of the same object is there.

        Args:
            bits: (S, S), not empty.
            found: is called if the mask is taken.
        """
        new = _Shape.of(bits)
        if any(new.same(other) for other in self._refused):
            return
        same = [new.same(shape) for shape, _ in self._kept]
        if all(one.similarity < similarity for (_, one), is_same in zip(self._kept, same, strict=True) if is_same):
            others = [one for one, is_same in zip(self._kept, same, strict=True) if not is_same]
            self._kept = [*others, (new, found())]

    def best(self) -> list[Found]:
        """Return those that are kept, by falling similarity."""
        return sorted((found for _, found in self._kept), key=lambda one: -one.similarity)
