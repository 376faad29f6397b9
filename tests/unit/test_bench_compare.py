"""Comparing two bench runs: the median of each number, and how much worse the current side is."""

from __future__ import annotations

import pytest

from bench.compare import Compared, compared
from bench.record import Quantity, Record, Row, Section


def record(latency: float, rate: float, size: float = 1.0) -> Record:
    numbers = {"p50": Quantity(latency, "ms"), "rate": Quantity(rate, "prompts/s"), "size": Quantity(size, "MB")}
    return Record({}, [Section("a", "a question", [Row("one prompt", numbers)])])


def test_the_median_of_each_side_counts() -> None:
    other = [record(30, 40), record(20, 50), record(22, 10)]
    latency, rate = compared(other, [record(25, 60), record(40, 45), record(24, 50)])
    assert (latency.other, latency.here, rate.other, rate.here) == (22, 25, 40, 50)


def test_worse_is_above_one_for_times_and_for_rates() -> None:
    latency, rate = compared([record(20, 50)], [record(25, 40)])
    assert (latency.slowdown, rate.slowdown) == (pytest.approx(1.25), pytest.approx(1.25))


def test_only_a_number_that_is_worse_by_more_than_the_bound_is_marked() -> None:
    assert "worse" not in str(Compared("a", "ms", 100, 102))
    assert "worse" in str(Compared("a", "ms", 100, 104))
    assert "worse" in str(Compared("a", "prompts/s", 100, 96))


def test_what_only_one_side_has_is_left_out() -> None:
    other = Record({}, [Section("a", "a question", [Row("another row", {"p50": Quantity(1, "ms")})])])
    assert compared([other], [record(1, 1)]) == []


def test_a_stage_that_no_request_entered_is_left_out() -> None:
    assert [one.name for one in compared([record(0, 50)], [record(0, 50)])] == ["(a) one prompt: rate"]
