"""The smallest run of `python -m bench`: every section has its numbers."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import sam2, summary
from bench.accuracy import LEAST_IOU
from bench.load import measured
from bench.record import Bound, Quantity, Record, Row, Section, table
from bench.samples import in_turns, joined
from deploy.local.process import ROOT


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the files of a quick run."""
    folder = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "bench", "--quick", "--output", str(folder)]
    done = subprocess.run(
        command, check=False, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture(scope="module")
def record(written: Path) -> Record:
    (file,) = written.glob("*-prompt.json")
    return summary.read(file)


def test_every_section_of_a_quick_run_has_numbers(record: Record) -> None:
    assert [section.key for section in record.sections] == list("abcdefghi" if sam2.is_possible() else "abcdefgh")
    for section in record.sections:
        for row in section.rows:
            assert row.numbers, row
            assert all(math.isfinite(quantity.value) for quantity in row.numbers.values()), row


def test_a_run_says_where_and_on_what_it_was_made(record: Record) -> None:
    assert {"date", "commit", "machine", "processor", "cores", "versions"} <= set(record.about)
    assert record.about["quick"] is True


def test_a_run_holds_the_numbers_that_are_asked_for(record: Record) -> None:
    bounds = {section.key: [row.bound.number for row in section.rows if row.bound] for section in record.sections}
    assert bounds["b"] == ["ratio"]
    assert bounds["c"] == ["extra decoder times"]
    assert bounds["f"] == ["rle", "more"]
    assert bounds["g"] == ["least IoU"] * len(LEAST_IOU)


def test_the_masks_of_a_run_are_the_references(record: Record) -> None:
    assert record.number("g", "cache of float32", "mean IoU") >= 0.9999


def test_both_plots_are_drawn(written: Path) -> None:
    plots = sorted(written.glob("*.svg"))
    assert [plot.name.split("-prompt-")[1] for plot in plots] == ["latency.svg", "throughput.svg"]
    for plot in plots:
        assert ElementTree.parse(plot).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_a_record_survives_its_json_and_says_what_fails() -> None:
    rows = [
        Row("fast", {"ratio": Quantity(12.0, "x")}, Bound("ratio", least=10)),
        Row("large", {"more": Quantity(400.0, "MB")}, Bound("more", most=300)),
        Row("plain", {"p50": Quantity(1.5, "ms")}),
    ]
    record = Record({"date": "2026-01-01"}, [Section("b", "Title", rows, "A note.")])
    assert Record.from_json(json.loads(json.dumps(record.as_json()))) == record
    assert [row.passed for row in rows] == [True, False, None]
    shown = table(record.sections)
    assert "ratio 12.00x   [ratio >= 10: pass]" in shown
    assert "more 400.0 MB   [more <= 300: FAIL]" in shown


def test_a_load_that_got_no_answer_in_time_is_measured_until_the_first_one() -> None:
    answered = [(1.0, 0.5), (2.5, 0.5), (3.5, 1.0)]
    assert measured(answered, 2.0, 3.0) == (1.0, [500.0])
    assert measured(answered, 2.6, 3.0) == (pytest.approx(0.9), [1000.0])


def test_sides_are_measured_in_turns_and_the_warm_up_does_not_count() -> None:
    calls: list[tuple[str, int]] = []
    sides = {name: lambda item, name=name: calls.append((name, item)) for name in "AB"}
    taken = in_turns(sides, [1, 2, 3], warm_up=1)
    assert calls == [("A", 1), ("B", 1), ("B", 2), ("A", 2), ("A", 3), ("B", 3)]
    assert {name: len(samples) for name, samples in joined([taken, taken]).items()} == {"A": 4, "B": 4}
