"""The masks that a search has so far, without duplicates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prompt_api.similar.interface import SAME
from prompt_api.similar.outlines import Bits


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A mask that was decoded.

    Attributes:
        packed: its S * S bits.
        area: how many of them are set.
        logits: (S, S) float32.
        similarity, score: as in `Found`.
        place: (row, column) of the prompt in the embedding.
        index: which of the masks of that prompt it is.
    """

    packed: NDArray[np.uint8]
    area: int
    logits: NDArray[np.float32]
    similarity: float
    score: float
    place: tuple[int, int]
    index: int


class Candidates:
    """Keeps of several masks of one object the most similar one.

    Which masks are the same is decided on the low-res grid.
    """

    def __init__(self, refused: Bits) -> None:
        """Args:
        refused: (N, S, S), masks of objects that are left out.
        """
        self._refused = [packed_bits(bits) for bits in refused]
        self.kept: list[Candidate] = []

    def add(self, new: Candidate) -> None:
        """Take a mask, unless it is refused, or a more similar mask of the same object is there."""
        if any(_iou(new.packed, new.area, *other) > SAME for other in self._refused):
            return
        same = [one for one in self.kept if _iou(new.packed, new.area, one.packed, one.area) > SAME]
        if all(one.similarity < new.similarity for one in same):
            self.kept = [one for one in self.kept if one not in same] + [new]

    def best(self) -> list[Candidate]:
        """Return those that are kept, by falling similarity."""
        return sorted(self.kept, key=lambda one: -one.similarity)


def packed_bits(bits: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], int]:
    """Return a mask as `Candidate.packed` and `Candidate.area`."""
    return np.packbits(bits), int(np.count_nonzero(bits))


def _iou(one: NDArray[np.uint8], area: int, other: NDArray[np.uint8], other_area: int) -> float:
    shared = int(np.bitwise_count(one & other).sum())
    return shared / (area + other_area - shared)
