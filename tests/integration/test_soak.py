"""The smallest soak run on the real stack, and tests that the soak notices leaks and growth."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.soak import run
from bench.soak_result import leaks, table, trend_of
from bench.vitals import ProcessVitals, Vitals

QUIET = ProcessVitals(memory=200.0, files=20, threads=8, processor=1.0)
BEFORE = Vitals(0.0, 0, 0, {"api": QUIET}, {"rq:workers": 1, "members of rq:workers": 1}, lasting=1)


def growing(by: float) -> list[Vitals]:
    """Memory that jumps from 100 MB to 200 MB while caches fill, and grows by `by` MB per 10,000 prompts."""
    return [
        replace(
            BEFORE,
            prompts=prompts,
            processes={"api": replace(QUIET, memory=(100.0 if prompts < 20_000 else 200.0) + by * prompts / 10_000)},
        )
        for prompts in range(0, 100_001, 1_000)
    ]


def test_memory_that_levels_off_is_flat() -> None:
    trend = trend_of(growing(0), "api")
    assert trend.flat
    assert trend.slope == pytest.approx(0)


def test_memory_that_goes_on_growing_is_not() -> None:
    trend = trend_of(growing(2), "api")
    assert not trend.flat
    assert trend.slope == pytest.approx(2)


def test_memory_for_an_image_in_progress_is_not_growth() -> None:
    samples = growing(0)
    busy = replace(QUIET, memory=230.0)
    samples = [replace(one, processes={"api": busy}) if number % 3 else one for number, one in enumerate(samples)]
    assert trend_of(samples, "api").flat


def test_memory_that_was_there_before_is_not_a_leak() -> None:
    assert leaks(BEFORE, replace(BEFORE, processes={"api": replace(QUIET, memory=900)})) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"keys": {"sam:image": 1}}, "sam:image"),
        ({"keys": {"members of rq:workers": 2}}, "members of rq:workers"),
        ({"lasting": 2}, "never expire"),
        ({"processes": {"api": replace(QUIET, threads=9)}}, "threads"),
        ({"processes": {"api": replace(QUIET, files=30)}}, "files"),
    ],
)
def test_anything_left_behind_is_a_leak(changes: dict[str, object], found: str) -> None:
    (leak,) = leaks(BEFORE, replace(BEFORE, **changes))
    assert found in leak


def test_a_little_load_leaves_nothing_behind() -> None:
    result = run("fake", 0.002, ttl=2)
    assert result.leaks == []
    assert result.answers["upload: 200"] == result.plan.uploads
    assert "left behind: nothing" in table(result)
