"""Annotators: each works on an image for a while, prompt after prompt, then opens another, popular ones more often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWN = 256  # random numbers drawn at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Who asks for what.

    Attributes:
        annotators: who work at the same time.
        images: that they come back to, numbered from 0, the most popular first.
        skew: of Zipf's law: the image of popularity rank r is opened in proportion to r ** -skew; 0: all alike.
        prompts: per visit to an image, on average; their number is geometric.
        fresh: part of the visits that open an image for the first time. It is the most popular one from then on, the
            others move down a rank, and nobody comes back to the last: work is looked at again soon or never. Such
            images are numbered -1, -2 and so on.
    """

    annotators: int
    images: int
    skew: float
    prompts: float
    fresh: float = 0.0

    @property
    def popularity(self) -> NDArray[np.float64]:
        """(images,): probability that a visit which is not fresh goes to each rank; they sum to 1."""
        weights: NDArray[np.float64] = np.arange(1, self.images + 1, dtype=np.float64) ** -self.skew
        weights /= weights.sum()
        return weights


class Visits:
    """What annotators open, one after the other; all of them share one, for what one opens another comes back to."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._cumulative = np.cumsum(traffic.popularity)
        self._opened = 0

    def prompted(self, rng: np.random.Generator) -> Iterator[int]:
        """The images that one annotator prompts, one for each prompt; endless."""
        traffic = self._traffic
        while True:
            numbers = rng.random((3, _DRAWN))
            ranks = np.minimum(np.searchsorted(self._cumulative, numbers[0], side="right"), traffic.images - 1).tolist()
            fresh = (numbers[1] < traffic.fresh).tolist()
            lengths = np.ceil(np.log1p(-numbers[2]) / np.log1p(-1 / max(traffic.prompts, 1 + 1e-9))).tolist()
            for rank, is_fresh, length in zip(ranks, fresh, lengths, strict=True):
                self._opened += is_fresh
                image = (0 if is_fresh else rank) - self._opened
                for _ in range(max(1, int(length))):
                    yield image
