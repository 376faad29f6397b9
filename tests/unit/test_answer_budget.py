"""The bytes of answers under way: counted from the first large piece until the answer is closed."""

from __future__ import annotations

import gc

import pytest

from prompt_api.http.answer_budget import LARGEST, MOST, SMALL, AnswerBudget
from shared.contract.errors import AnswerTooLarge, Overloaded

PIECE = bytes(SMALL)


def test_a_small_answer_does_not_count() -> None:
    budget = AnswerBudget(most=0)
    with budget.empty() as answer:
        answer.write(PIECE)
        assert answer.getvalue() == PIECE
    assert budget.taken == 0


def test_a_large_answer_counts_with_all_its_pieces_until_it_is_closed() -> None:
    budget = AnswerBudget()
    answer = budget.empty()
    for count in (1, 2, 3):
        answer.write(PIECE)
        assert budget.taken == (0 if count == 1 else count * SMALL)
    answer.close()
    answer.close()
    assert budget.taken == 0


def test_an_answer_that_nobody_closes_counts_no_longer_than_it_lives() -> None:
    budget = AnswerBudget()
    answer = budget.holding(2 * PIECE)
    assert budget.taken == 2 * SMALL
    del answer
    gc.collect()
    assert budget.taken == 0


def test_one_answer_has_a_limit() -> None:
    budget = AnswerBudget(largest=2 * SMALL)
    with budget.empty() as answer:
        answer.write(PIECE)
        answer.write(PIECE)
        with pytest.raises(AnswerTooLarge) as refused:
            answer.write(b"x")
        assert refused.value.extra == {"max_bytes": 2 * SMALL}
        assert budget.taken == 2 * SMALL


def test_all_answers_together_have_a_limit() -> None:
    budget = AnswerBudget(most=3 * SMALL)
    first, second = budget.empty(), budget.empty()
    first.write(2 * PIECE)
    with pytest.raises(Overloaded):
        second.write(2 * PIECE)
    with pytest.raises(Overloaded):
        budget.holding(2 * PIECE)
    first.close()
    second.write(2 * PIECE)
    second.close()
    assert budget.taken == 0


def test_two_of_the_largest_answers_fit() -> None:
    assert MOST >= 2 * LARGEST
