"""The rounds of a grid: which points are decoded, in which order, how many."""

from __future__ import annotations

import numpy as np
import pytest

from prompt_api.everything.options import Mode
from prompt_api.everything.rounds import Rounds


def all_rounds(per_side: int, mode: Mode, covered: np.ndarray) -> list[np.ndarray]:
    rounds, found = Rounds(per_side, mode), []
    while len(numbers := rounds.next(covered)):
        found.append(numbers)
    return found


@pytest.mark.parametrize("per_side", [1, 2, 5, 32])
def test_exact_mode_decodes_every_point_in_one_round(per_side: int) -> None:
    nothing = np.zeros(per_side**2, bool)
    (numbers,) = all_rounds(per_side, Mode.EXACT, nothing)
    assert numbers.tolist() == list(range(per_side**2))
    assert Rounds(per_side, Mode.EXACT).most == per_side**2


@pytest.mark.parametrize("per_side", [1, 2, 3, 5, 10, 32])
def test_fast_mode_decodes_a_quarter_first_and_never_more_than_its_share(per_side: int) -> None:
    rounds = all_rounds(per_side, Mode.FAST, np.zeros(per_side**2, bool))
    every = np.concatenate(rounds)
    assert len(set(every.tolist())) == len(every) == Rounds(per_side, Mode.FAST).most
    half = (per_side + 1) // 2
    assert len(rounds[0]) == half**2
    assert len(every) <= max(half**2, 0.4 * per_side**2)
    assert {(int(k) // per_side % 2, int(k) % per_side % 2) for k in rounds[0]} == {(0, 0)}


def test_fast_mode_leaves_out_what_is_covered() -> None:
    covered = np.ones(32 * 32, bool)
    covered[[1, 33, 66, 1023]] = False
    first, second = all_rounds(32, Mode.FAST, covered)
    assert len(first) == 256
    assert sorted(second.tolist()) == [1, 33, 1023]  # number 66 is in the first round


def test_later_rounds_are_spread_over_the_image() -> None:
    _, second, *_ = all_rounds(32, Mode.FAST, np.zeros(32 * 32, bool))
    rows, columns = np.divmod(second, 32)
    quarters = np.bincount((rows // 16) * 2 + columns // 16, minlength=4)
    assert quarters.min() >= 12
