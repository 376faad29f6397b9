"""The rounds of a grid: which points are decoded, in which order, how many."""

from __future__ import annotations

import numpy as np
import pytest

from prompt_api.everything.options import Mode
from prompt_api.everything.rounds import CONFIDENT, ROUND, Rounds


def unsure(per_side: int) -> np.ndarray:
    return np.full(per_side**2, -np.inf, np.float32)


def all_rounds(per_side: int, mode: Mode, confidence: np.ndarray) -> list[np.ndarray]:
    rounds, found = Rounds(per_side, mode), []
    while len(numbers := rounds.next(confidence)):
        found.append(numbers)
    return found


@pytest.mark.parametrize("per_side", [1, 2, 5, 32])
def test_exact_mode_decodes_every_point_in_one_round(per_side: int) -> None:
    (numbers,) = all_rounds(per_side, Mode.EXACT, unsure(per_side))
    assert numbers.tolist() == list(range(per_side**2))
    assert Rounds(per_side, Mode.EXACT).most == per_side**2


@pytest.mark.parametrize("per_side", [1, 2, 3, 5, 10, 32])
def test_fast_mode_decodes_a_quarter_first_and_never_more_than_its_share(per_side: int) -> None:
    rounds = all_rounds(per_side, Mode.FAST, unsure(per_side))
    every = np.concatenate(rounds)
    assert len(set(every.tolist())) == len(every) == Rounds(per_side, Mode.FAST).most
    half = (per_side + 1) // 2
    assert len(rounds[0]) == half**2
    assert len(every) <= max(half**2, 0.4 * per_side**2)
    assert {(int(k) // per_side % 2, int(k) % per_side % 2) for k in rounds[0]} == {(0, 0)}


def test_fast_mode_leaves_out_what_is_covered() -> None:
    confidence = np.full(32 * 32, CONFIDENT + 1, np.float32)
    confidence[[1, 33, 66, 1023]] = CONFIDENT
    first, second = all_rounds(32, Mode.FAST, confidence)
    assert len(first) == 256
    assert sorted(second.tolist()) == [1, 33, 1023]  # number 66 is in the first round


def test_without_masks_later_rounds_are_spread_over_the_image() -> None:
    _, second, *_ = all_rounds(32, Mode.FAST, unsure(32))
    rows, columns = np.divmod(second, 32)
    quarters = np.bincount((rows // 16) * 2 + columns // 16, minlength=4)
    assert quarters.min() >= 6


def test_the_most_doubtful_points_come_first() -> None:
    confidence = np.full(32 * 32, 5, np.float32)
    doubtful = [33, 99, 1023, 513, 65]
    confidence[doubtful] = [1, -3, 2, -8, 0]
    _, second, *_ = all_rounds(32, Mode.FAST, confidence)
    assert second[:5].tolist() == [513, 99, 65, 33, 1023]
    assert len(second) == ROUND
