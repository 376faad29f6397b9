"""Spans of rings: the points between two corners, which a straight line may replace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.rings import Rings

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
N = TypeVar("N", np.int64, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Spans:
    """S spans. Span s goes from point `first[s]` of its ring to point `last[s]`.

    Attributes:
        first: (S,) index of a point.
        last: (S,) index of a point. One beyond the last point of a ring stands for the ring's first point.
        ring: (S,) the number of the ring.
    """

    rings: Rings
    first: Ints
    last: Ints
    ring: Ints

    @classmethod
    def between(cls, rings: Rings, kept: Bools) -> Self:
        """Return the spans between each kept point and the next. The first point of each ring must be kept."""
        first = np.flatnonzero(kept)
        ring = np.searchsorted(rings.starts, first, side="right") - 1
        last = np.append(first[1:], len(kept))
        return cls(rings, first, last, ring)

    @property
    def inner(self) -> Ints:
        """(S,) the number of points between the two ends."""
        return self.last - self.first - 1

    @property
    def ends(self) -> tuple[Ints, Ints]:
        """Where each span starts and stops: two arrays (S, 2) of (x, y)."""
        last = np.where(self.last == self.rings.starts[self.ring + 1], self.rings.starts[self.ring], self.last)
        return self.rings.points[self.first], self.rings.points[last]

    def chosen(self, which: Bools | Ints) -> Spans:
        return Spans(self.rings, self.first[which], self.last[which], self.ring[which])

    def split(self, middle: Ints) -> Spans:
        """Return the spans before each middle point, then those after it."""
        return Spans(
            self.rings,
            np.concatenate([self.first, middle]),
            np.concatenate([middle, self.last]),
            np.concatenate([self.ring, self.ring]),
        )

    def inner_points(self) -> tuple[Ints, Ints]:
        """Return the indices of all inner points, and for each its span."""
        count = self.inner
        span = np.repeat(np.arange(len(count)), count)
        return np.arange(len(span)) + np.repeat(self.first + 1 - np.cumsum(count) + count, count), span

    def worst(self) -> tuple[Ints, Floats]:
        """Return the inner point of each span that is farthest from its line, and the square of that distance.

        The line goes from end to end. Of several points, it is the earliest. Every span must have an inner point.
        """
        point, span = self.inner_points()
        start, stop = (end[span] for end in self.ends)
        distance = _squared_distance(self.rings.points[point], start, stop)
        earliest, greatest = first_greatest(distance, self.inner)
        return point[earliest], greatest


def first_greatest(values: NDArray[N], size: Ints) -> tuple[Ints, NDArray[N]]:
    """Return where the greatest value of each group is, and that value. Of several places, it is the earliest.

    Args:
        values: those of all groups, one after the other.
        size: (G,) the number of values of each group, at least 1.
    """
    greatest = np.maximum.reduceat(values, np.cumsum(size) - size)
    group = np.repeat(np.arange(len(size)), size)
    places = np.flatnonzero(values == greatest[group])
    return np.asarray(places[np.diff(group[places], prepend=-1) > 0]), greatest


def _squared_distance(points: Ints, start: Ints, stop: Ints) -> Floats:
    """Return the (N,) squared distances from (N, 2) points to the lines from start to stop.

    All steps but the last two are exact: the coordinates are whole numbers below 2**16.
    """
    along, away, beyond = stop - start, points - start, points - stop
    length, place = _dot(along, along), _dot(away, along)
    across = (along[:, 0] * away[:, 1] - along[:, 1] * away[:, 0]).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance: Floats = across * across / length
    distance = np.where(place <= 0, _dot(away, away), distance)
    return np.where((place >= length) & (place > 0), _dot(beyond, beyond), distance)


def _dot(one: Ints, other: Ints) -> Ints:
    product: Ints = one[:, 0] * other[:, 0] + one[:, 1] * other[:, 1]
    return product
