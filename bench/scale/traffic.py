"""Annotators who send some prompts on an image, and then open another. Popular images are opened more often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWN = 256  # random numbers that are drawn at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Who asks for what.

    Attributes:
        annotators: number who work at the same time.
        images: number that they come back to. They are numbered from 0, the most popular first.
        skew: exponent of Zipf's law. The image of rank r is opened in proportion to r ** -skew; with 0, all alike.
        prompts: mean number per visit to an image; the number is geometrically distributed.
        fresh: fraction of the visits that open an image for the first time. A fresh image becomes the most popular one,
            the others move down a rank, and nobody comes back to the last one: work is looked at again soon or never.
            Fresh images are numbered -1, -2 and so on.
    """

    annotators: int
    images: int
    skew: float
    prompts: float
    fresh: float = 0.0

    @property
    def popularity(self) -> NDArray[np.float64]:
        """(images,): the probability of each rank for a visit that is not fresh; they sum to 1."""
        weights: NDArray[np.float64] = np.arange(1, self.images + 1, dtype=np.float64) ** -self.skew
        weights /= weights.sum()
        return weights


class Visits:
    """The images that annotators open. All annotators share one, because they open each other's images again."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._cumulative = np.cumsum(traffic.popularity)
        self._opened = 0

    def prompted(self, rng: np.random.Generator) -> Iterator[int]:
        """The image of each prompt of one annotator, without end."""
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
