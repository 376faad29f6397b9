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
        images: that they work on, numbered from 0, the most popular first.
        skew: of Zipf's law: the image of popularity rank r is opened in proportion to r ** -skew; 0: all alike.
        prompts: per visit to an image, on average; their number is geometric.
        fresh: part of the visits that open an image nobody has opened before and nobody will again.
    """

    annotators: int
    images: int
    skew: float
    prompts: float
    fresh: float = 0.0

    @property
    def popularity(self) -> NDArray[np.float64]:
        """(images,): probability that a visit which is not fresh goes to each; they sum to 1."""
        weights: NDArray[np.float64] = np.arange(1, self.images + 1, dtype=np.float64) ** -self.skew
        weights /= weights.sum()
        return weights


class Annotator:
    """The images one annotator prompts, one for each prompt; endless.

    Args:
        cumulative: (images,): `Traffic.popularity` summed up.
        newcomers: numbers of images that nobody has opened yet, shared by all annotators.
    """

    def __init__(
        self,
        traffic: Traffic,
        cumulative: NDArray[np.float64],
        newcomers: Iterator[int],
        rng: np.random.Generator,
    ) -> None:
        self._traffic = traffic
        self._cumulative = cumulative
        self._newcomers = newcomers
        self._rng = rng

    def __iter__(self) -> Iterator[int]:
        traffic = self._traffic
        while True:
            numbers = self._rng.random((3, _DRAWN))
            known = np.minimum(np.searchsorted(self._cumulative, numbers[0], side="right"), traffic.images - 1).tolist()
            fresh = (numbers[1] < traffic.fresh).tolist()
            lengths = np.ceil(np.log1p(-numbers[2]) / np.log1p(-1 / max(traffic.prompts, 1 + 1e-9))).tolist()
            for image, is_fresh, length in zip(known, fresh, lengths, strict=True):
                chosen = next(self._newcomers) if is_fresh else image
                for _ in range(max(1, int(length))):
                    yield chosen
