"""docs/scaling.md shows the plans that the code makes, from numbers that were recorded."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from bench.record import Record
from bench.sizing.__main__ import main, tables
from bench.sizing.assumptions import BUSY, ENCODERS, PROMPT, SCALE, Costs, Work
from bench.sizing.plan import plan
from bench.summary import FOLDER
from deploy.local.process import ROOT

CLICKING = Work(annotators=1_000, cached=0.25)


@pytest.mark.parametrize("name", ["measured", "costs", "misses", "plans"])
def test_the_documentation_shows_the_tables_that_the_code_prints(name: str) -> None:
    text = (ROOT / "docs/scaling.md").read_text()
    shown = re.findall(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)
    assert shown == [tables()[name]], "put the output of `python -m bench.sizing` between the markers"


def test_costs_are_those_of_the_recorded_runs() -> None:
    costs, scale, prompt = Costs(), recorded(SCALE), recorded(PROMPT)
    assert costs.prompt_ms == pytest.approx(scale.number("a", "1 replica", "replicas"), rel=0.02)
    assert costs.gateway_ms == pytest.approx(scale.number("a", "1 replica", "gateway"), rel=0.1)
    routed, unrouted = "routed by image id", "routed one after the other"
    hits = [scale.number("b", what, "hit rate") / 100 for what in (routed, unrouted)]
    spent = [scale.number("b", what, "replicas") for what in (routed, unrouted)]
    assert costs.first_ms == pytest.approx((spent[1] - spent[0]) / (hits[0] - hits[1]), rel=0.05)
    assert costs.prepared_bytes / 2**20 == pytest.approx(prompt.number("h", "float16", "in an API process"), rel=0.01)
    assert costs.float16_bytes / 2**20 == pytest.approx(prompt.number("h", "float16", "in Redis"), rel=0.01)
    assert costs.int8_bytes / 2**20 == pytest.approx(prompt.number("h", "int8", "in Redis"), rel=0.01)
    assert costs.answer_bytes / 1000 == pytest.approx(prompt.number("b", "its stages, one core each", "answer"), 0.01)
    encoding = 1000 / scale.number("e", "mobile_sam", "processor time")
    assert ENCODERS["mobile_sam on CPUs"].images_per_second == pytest.approx(encoding, rel=0.05)


def test_the_simulation_was_right_about_the_recorded_run() -> None:
    scale = recorded(SCALE)
    for tier in ("memory of a replica", "Redis", "encoded again"):
        assert scale.number("d", tier, "apart") < 3


def test_a_plan_is_what_its_formulas_say() -> None:
    costs = Costs()
    one = plan(CLICKING, costs)
    assert one.prompts == pytest.approx(200)
    assert one.visits == pytest.approx(1_000 / 120)
    first = one.visits * (one.misses.fetched + one.misses.encoded)
    busy = (200 * costs.prompt_ms + first * costs.first_ms) / 1000
    assert one.cores - 1 < busy / BUSY <= one.cores
    assert one.cached_bytes["float16"] == pytest.approx(150_000 * costs.float16_bytes)
    assert one.encodings == pytest.approx(one.visits * one.misses.encoded)


def test_first_looks_are_always_encoded_and_a_larger_cache_saves_the_others() -> None:
    small, large = (plan(replace(CLICKING, cached=part), Costs()).misses.encoded for part in (0.02, 1.0))
    assert 0.5 <= large < small < 1
    nothing_new = plan(replace(CLICKING, cached=1.0, fresh=0.0), Costs())
    assert nothing_new.misses.encoded == 0


def test_hovering_needs_cores_and_not_more_encodings() -> None:
    clicks, hovers = (plan(replace(CLICKING, prompts_per_second=rate), Costs()) for rate in (0.2, 3.0))
    assert hovers.cores > 10 * clicks.cores
    assert hovers.encodings == clicks.encodings


def test_a_reader_puts_in_own_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--annotators", "50", "--prompts-per-second", "1", "--prompt-ms", "60"]) == 0
    shown = capsys.readouterr().out
    assert "| prompts/s | 50 |" in shown
    assert "**API cores**, a replica on each | 6 |" in shown


def recorded(name: str) -> Record:
    return Record.from_json(json.loads((FOLDER / name).read_text()))
