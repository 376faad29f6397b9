"""The search for similar things with real weights: all coins from one, and the bench as a whole on few questions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.similar import __main__ as bench
from bench.similar import asking
from bench.similar.coins import COUNT
from bench.similar.kinds import JUDGING
from bench.similar.subject import Subject
from shared.contract.settings import Settings


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject(Settings.from_env())


def test_a_coin_finds_all_coins_and_nothing_else(subject: Subject) -> None:
    (row,) = bench.all_coins(subject, quick=True).rows
    examples = row.numbers["examples"].value
    assert examples == 3
    assert row.numbers["all found, none wrong"].value == examples
    assert row.numbers["fewest found"].value == COUNT
    assert row.numbers["most wrong"].value == 0


def test_a_search_is_timed(subject: Subject) -> None:
    section = bench.times(subject, quick=True)
    assert [row.what for row in section.rows] == ["one thread", "two threads"]
    for row in section.rows:
        assert row.numbers["found"].value >= 2 * COUNT
        assert row.numbers["processor"].value > 0


def test_the_bench_compares_the_ways(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(asking, "DECODES", 16)
    monkeypatch.setattr(bench, "Subject", lambda _: subject)
    monkeypatch.setattr(bench, "JUDGING", {name: JUDGING[name] for name in ("grace_hopper", "camera")})
    out = tmp_path / "results" / "similar.json"
    assert bench.main(["--quick", "--only", "quality", "--output", str(out)]) == 0
    (section,) = json.loads(out.read_text())["sections"]
    rows = {row["what"]: row["numbers"] for row in section["rows"]}
    for what in ("same picture", "next picture", "same plain", "next plain"):
        assert rows[what]["AP"]["value"] > rows[what]["AP of the mean feature"]["value"] / 2 > 0
    for what in asking.REJECTIONS:
        assert 0 < rows[f"rejected: {what}"]["AP, label 0"]["value"] <= 1
    for count in asking.EXAMPLES:
        assert 0 < rows[f"examples of the kind: {count}, next picture"]["AP"]["value"] <= 1
    assert "Several kinds in one picture" in capsys.readouterr().out
