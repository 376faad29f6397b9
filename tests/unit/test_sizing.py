"""docs/scaling.md shows the plans that the code computes from recorded numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.sizing.__main__ import DOC, main, renewed, tables
from bench.sizing.assumptions import BUSY, Costs, Work
from bench.sizing.plan import plan
from bench.sizing.recorded import SCALE, recorded

CLICKING = Work(annotators=1_000, cached=0.25)
COSTS = Costs(
    prompt_ms=30,
    first_ms=70,
    gateway_ms=0.3,
    encode_ms=1_000,
    prepared_bytes=30e6,
    float16_bytes=2e6,
    int8_bytes=1e6,
    answer_bytes=20_000,
)


def test_the_documentation_shows_the_tables_that_the_code_makes() -> None:
    shown = DOC.read_text()
    assert renewed(shown, tables()) == shown, "run `python -m bench.sizing`"


def test_the_simulation_was_right_about_the_recorded_run() -> None:
    scale = recorded(SCALE)
    for tier in ("memory of a replica", "Redis", "encoded again"):
        assert scale.number("d", tier, "apart") < 4


def test_a_plan_is_what_its_formulas_say() -> None:
    one = plan(CLICKING, COSTS)
    assert one.prompts == pytest.approx(200)
    assert one.visits == pytest.approx(1_000 / 120)
    first = one.visits * (one.misses.fetched + one.misses.encoded)
    busy = (200 * COSTS.prompt_ms + first * COSTS.first_ms) / 1000
    assert one.cores - 1 < busy / BUSY <= one.cores
    assert one.cached_bytes["float16"] == pytest.approx(150_000 * COSTS.float16_bytes)
    assert one.encodings == pytest.approx(one.visits * one.misses.encoded)


def test_first_looks_are_always_encoded_and_a_larger_cache_saves_the_others() -> None:
    small, large = (plan(replace(CLICKING, cached=part), COSTS).misses.encoded for part in (0.02, 1.0))
    assert 0.5 <= large < small < 1
    nothing_new = plan(replace(CLICKING, cached=1.0, fresh=0.0), COSTS)
    assert nothing_new.misses.encoded == 0


def test_hovering_needs_cores_and_not_more_encodings() -> None:
    clicks, hovers = (plan(replace(CLICKING, prompts_per_second=rate), COSTS) for rate in (0.2, 3.0))
    assert hovers.cores > 10 * clicks.cores
    assert hovers.encodings == clicks.encodings


def test_a_reader_puts_in_own_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--annotators", "50", "--prompts-per-second", "1", "--prompt-ms", "60"]) == 0
    shown = capsys.readouterr().out
    assert "| prompts/s | 50 |" in shown
    assert "**API cores**, a replica on each | 6 |" in shown
