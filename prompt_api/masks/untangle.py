"""Adds points to simplified rings until no ring crosses itself or another, and all lie inside one another as before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from prompt_api.masks.near import near_points, pairs_nearby
from prompt_api.masks.rings import Rings, following_point, signed_doubled_areas
from prompt_api.masks.simplify import divide
from prompt_api.masks.spans import Spans

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MOST_HALVINGS = 8
"""How often a span that crosses something gets one more point. Then it gets all its points: it is the exact edge."""

_MOST_SIDES = 1 << 20
"""Sides of spans that are looked at at once. This limits the memory."""


def touching_corners(rings: Rings) -> Bools:
    """Return which points more than one ring has, and the points before and after each of them: (N,).

    If they are all kept, rings that touch go on to touch only there, in the same order.
    """
    place = rings.points[:, 0] << 32 | rings.points[:, 1]
    order = np.argsort(place)
    same = np.diff(place[order]) == 0
    touching = np.zeros(len(place), dtype=bool)
    touching[order[1:][same]] = True
    touching[order[:-1][same]] = True
    if not touching.any():
        return touching
    after = following_point(rings)
    wanted = touching.copy()
    wanted[after[touching]] = True
    wanted |= touching[after]
    return wanted


def untangled(rings: Rings, kept: Bools, squares: Floats) -> Bools:
    """Return which points to keep, (N,): those of `kept`, and as many more as are needed for valid polygons.

    The rings of these points are then simple and have at least three points and the same direction as before. None
    crosses another. Each is inside the same rings as before. They touch only where the exact rings touch.

    Args:
        rings: exact rings of a mask, or some of them.
        kept: (N,) the points of the simplified rings. They include the first point of each ring and
            `touching_corners(rings)`.
        squares: (R,) the square of each ring's tolerance. The rings that are returned keep it.
    """
    needed = np.where(kept, np.inf, 0.0)
    checked = np.full(len(kept), -1)
    directions = np.sign(signed_doubled_areas(rings))
    halvings = 0
    while True:
        spans = Spans.between(rings, needed > 0)
        fresh = checked[spans.first] != spans.last
        checked[spans.first] = spans.last
        wrong = _collapsed(spans, directions) | _crossing(spans, fresh) | _passed_over(spans, fresh)
        bad = spans.chosen(wrong & (spans.inner > 0))
        if not bad.first.size:
            return needed > 0
        if halvings < MOST_HALVINGS:
            middle, _ = bad.worst()
            needed[middle] = np.inf
            divide(bad.split(middle), squares, needed)
        else:
            needed[bad.inner_points()[0]] = np.inf
        halvings += 1


def _collapsed(spans: Spans, directions: Ints) -> Bools:
    """Return the spans of rings that have no area, or another direction than before.

    Args:
        directions: (R,) the signs of the areas before.
    """
    first_span = np.flatnonzero(np.diff(spans.ring, prepend=-1))
    now = np.add.reduceat(_cross(*spans.ends), first_span)
    return np.asarray((np.sign(now) != directions)[spans.ring])


def _crossing(spans: Spans, fresh: Bools) -> Bools:
    """Return the spans whose line has a point in common with another line, except an end of both."""
    start, stop = spans.ends
    is_exact = spans.inner == 0
    wrong = np.zeros(len(fresh), dtype=bool)
    for one, other in pairs_nearby(start, stop, fresh):
        relevant = (fresh[one] | fresh[other]) & ~(is_exact[one] & is_exact[other])
        one, other = one[relevant], other[relevant]  # noqa: PLW2901
        meet = _meet(start[one], stop[one], start[other], stop[other])
        wrong[one[meet]] = True
        wrong[other[meet]] = True
    return wrong


def _meet(a: Ints, b: Ints, c: Ints, d: Ints) -> Bools:
    """Return whether lines a-b and c-d, (N, 2) each, have a point in common that is not an end of both."""
    apart = (np.maximum(a, b) < np.minimum(c, d)).any(axis=1) | (np.maximum(c, d) < np.minimum(a, b)).any(axis=1)
    meet = ~apart & (_side(a, b, c) * _side(a, b, d) <= 0) & (_side(c, d, a) * _side(c, d, b) <= 0)
    # Lines from one point have more in common only if they go in one direction.
    for common, one, matching, other in ((a, b, c, d), (a, b, d, c), (b, a, c, d), (b, a, d, c)):
        shared = (common == matching).all(axis=1)
        away, along = one - common, other - common
        meet &= ~shared | ((_cross(away, along) == 0) & ((away * along).sum(axis=1) > 0))
    return np.asarray(meet)


def _side(start: Ints, stop: Ints, point: Ints) -> Ints:
    """Return the side of the line from start to stop on which each point lies: -1, 0 or 1."""
    return np.sign(_cross(stop - start, point - start))


def _passed_over(spans: Spans, fresh: Bools) -> Bools:
    """Return the spans whose line passes another ring on the other side than the span itself.

    Such a ring would change from inside to outside. As no lines cross, it is enough to look at one point of each ring:
    its first, or the middle of its first side if the first point touches another ring.
    """
    rings = spans.rings
    wrong = np.zeros(len(fresh), dtype=bool)
    candidates = np.flatnonzero(fresh & (spans.inner > 0))
    if not candidates.size or len(rings.part) == 1:
        return wrong
    bent = spans.chosen(candidates)
    reach = int(np.ceil(np.sqrt(bent.worst()[1].max())))
    first = rings.points[rings.starts[:-1]]
    is_exact = np.zeros(len(rings.part), dtype=bool)
    at_start = spans.first == rings.starts[spans.ring]
    is_exact[spans.ring[at_start]] = spans.inner[at_start] == 0
    second = rings.points[rings.starts[:-1] + 1]
    doubled = np.where(is_exact[:, None], first + second, 2 * first)
    span, ring = near_points(*bent.ends, doubled // 2, reach + 1)
    other = bent.ring[span] != ring
    for some, point in _inside(bent, span[other], doubled[ring[other]]):
        wrong[candidates[some[point]]] = True
    return wrong


def _inside(spans: Spans, span: Ints, doubled: Ints) -> Iterator[tuple[Ints, Bools]]:
    """Yield parts of `span`, each with whether its points lie between the span and its line, by the even-odd rule."""
    sides = spans.inner[span] + 2
    batch = np.cumsum(sides) // _MOST_SIDES
    for number in np.unique(batch):
        some = batch == number
        yield span[some], _between(spans.chosen(span[some]), doubled[some])


def _between(spans: Spans, doubled: Ints) -> Bools:
    """Return whether point s lies between span s and its line. Points have twice the coordinates: (S, 2)."""
    rings = spans.rings
    sides = spans.inner + 1
    span = np.repeat(np.arange(len(sides)), sides)
    at = np.arange(len(span)) + np.repeat(spans.first - np.cumsum(sides) + sides, sides)
    following = following_point(rings)[at]
    crossed = _crosses_ray(2 * rings.points[at], 2 * rings.points[following], doubled[span])
    odd = np.bincount(span, weights=crossed, minlength=len(sides)).astype(np.int64) % 2 == 1
    start, stop = spans.ends
    return np.asarray(odd ^ _crosses_ray(2 * stop, 2 * start, doubled))


def _crosses_ray(start: Ints, stop: Ints, point: Ints) -> Bools:
    """Return whether the sides from start to stop cross the ray that goes right from each point: (N,)."""
    straddles = (start[:, 1] > point[:, 1]) != (stop[:, 1] > point[:, 1])
    side = _side(start, stop, point)
    return np.asarray(straddles & np.where(stop[:, 1] > start[:, 1], side > 0, side < 0))


def _cross(one: Ints, other: Ints) -> Ints:
    product: Ints = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    return product
