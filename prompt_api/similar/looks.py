"""What masks look like, in numbers that can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prompt_api.similar.interface import ImageFeatures
from prompt_api.similar.outlines import Bits, Floats, Outlines, around, best_turn, unit

PLACES = 64
"""Places along each side of the embedding of every model."""

DIRECTIONS = 128
"""Directions of the features that are compared: those in which the searched image varies most."""

PARTS = (0.0, 0.4, 0.75)
"""Distances from the middle at which features are sampled, as factors of the radius of a disc of the same area."""

_FLOOR = 0.1
"""Of the mean variance: what is added to each direction's before it divides, because small ones are noise."""

_LOG_AREA = 0.85
"""Standard deviation of the logarithm of the areas of things of a kind, as the search takes it."""

_OUTLINE_POWER = 8
"""The power of the likeness of the outlines. It is high because this likeness is near 1 for most pairs of masks."""


class Space:
    """The directions in which features are compared: those of the searched image, each divided by its spread.

    Features of SAM share much over a whole image: compared as they are, everything is alike. Source of the whitening:
    Hariharan, Malik, Ramanan, "Discriminative decorrelation for clustering and classification" (2012).
    """

    def __init__(self, features: ImageFeatures) -> None:
        vectors = unit_vectors(features)
        centred = vectors - vectors.mean(axis=0)
        variance, axes = np.linalg.eigh(centred.T @ centred / len(centred))
        largest = slice(None, -DIRECTIONS - 1, -1)
        spread = np.sqrt(variance + _FLOOR * variance.mean() + 1e-12)
        self._matrix: NDArray[np.float32] = (axes / spread)[:, largest].astype(np.float32)

    def grid(self, features: ImageFeatures) -> Grid:
        """Return the features of an image in this space. The mean of that image becomes 0."""
        vectors = unit_vectors(features)
        moved: NDArray[np.float32] = (vectors - vectors.mean(axis=0)) @ self._matrix
        shape = *features.vectors.shape[:2], -1
        return Grid(moved.reshape(shape), unit(moved.astype(np.float64)).reshape(shape))


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The features of an image in the space of a search.

    Attributes:
        vectors: (rows, columns, K).
        units: the same, of length 1 at each place.
    """

    vectors: NDArray[np.float32]
    units: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """What N masks of one image look like.

    Attributes:
        outlines: where and how large they are, and their outlines.
        mean: (N, K), the mean feature inside each, of length 1.
        parts: (N, rings, angles, K), the features around the middle of each, of length 1.
    """

    outlines: Outlines
    mean: Floats
    parts: Floats

    @classmethod
    def of(cls, masks: Bits, grid: Grid, features: ImageFeatures) -> Looks:
        """Look at masks.

        Args:
            masks: (N, S, S) over the model's frame, none of them empty.
            grid: of `Space.grid`, of the image that the masks are of.
            features: those of that image.
        """
        per_place = masks.shape[1] // PLACES
        height, width = features.inside
        aspect = (features.size[0] / height) / (features.size[1] / width)
        outlines = Outlines.of(masks, (height * per_place, width * per_place), aspect)
        covered = coverage(masks, grid.vectors.shape[:2])
        # Places at the edge also show what is around the thing.
        core = np.where(covered >= 1, covered, 0)
        thin = core.sum(axis=(1, 2)) < 2
        core[thin] = covered[thin] ** 3
        mean = unit(np.stack([weighted_sum(weights, grid.vectors) for weights in core]).astype(np.float64))
        y, x = around(outlines.middle / per_place, outlines.reach / per_place, PARTS)
        # A ring counts by its length, and the middle a little.
        weight = np.sqrt(np.array(PARTS).clip(min=0.15))[:, None, None]
        return cls(outlines, mean, unit(_sampled(grid.units, y - 0.5, x - 0.5) * weight))

    def to(self, example: Looks) -> Floats:
        """Return how alike each mask is to the only mask of `example`, (N,), 0 to 1."""
        outlines, other = self.outlines, example.outlines
        same_outline = best_turn(other.rings[0, :, :, None], outlines.rings[..., None])
        ratio = np.log(outlines.area / other.area[0]) / _LOG_AREA
        alike = self.features_to(example) * same_outline.clip(0, 1) ** _OUTLINE_POWER * np.exp(-(ratio**2) / 2)
        # The root only spreads the values, so that a threshold of a half is a useful one.
        return np.asarray(np.sqrt(alike))

    def features_to(self, example: Looks) -> Floats:
        """Return how alike the features alone are to those of the only mask of `example`, (N,), 0 to 1."""
        same_mean = self.mean @ example.mean[0]
        same_parts = best_turn(example.parts[0], self.parts)
        return np.asarray(((2 + same_mean + same_parts) / 4).clip(0, 1))


def coverage(masks: Bits, places: Sequence[int]) -> NDArray[np.float32]:
    """Return which part of each place of the embedding the masks (N, S, S) cover, (N, rows, columns)."""
    side = masks.shape[1] // PLACES
    rows, columns = places
    shown = masks[:, : rows * side, : columns * side].reshape(len(masks), rows, side, columns, side)
    return np.asarray(shown.mean(axis=(2, 4), dtype=np.float32))


def weighted_sum(weights: NDArray[np.float32], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the sum (K,) of the vectors (rows, columns, K), each times its weight (rows, columns).

    Most weights are 0. It is no matrix product, because a large one would start threads on all cores, and a search has
    one.
    """
    some = weights > 0
    return np.asarray((weights[some][:, None] * vectors[some]).sum(axis=0))


def unit_vectors(features: ImageFeatures) -> NDArray[np.float32]:
    """Return the features at each place, of length 1, (rows * columns, channels)."""
    vectors = features.vectors.reshape(-1, features.vectors.shape[2]).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-6))


def _sampled(grid: Floats, y: Floats, x: Floats) -> Floats:
    """Return the grid (rows, columns, K) at fractional rows and columns, bilinearly; beyond its edge, its edge."""
    (top, below, down), (left, right, along) = (
        _between(at, length) for at, length in zip((y, x), grid.shape[:2], strict=True)
    )
    upper = grid[top, left] * (1 - along) + grid[top, right] * along
    lower = grid[below, left] * (1 - along) + grid[below, right] * along
    return np.asarray(upper * (1 - down) + lower * down)


def _between(at: Floats, length: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    held = at.clip(0, length - 1)
    low = np.floor(held).astype(np.int64)
    return low, (low + 1).clip(max=length - 1), (held - low)[..., None]
