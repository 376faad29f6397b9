"""The bench of what is around the encoder runs, and tells what was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.host import run


def test_a_small_run_tells_rates_ratios_and_the_processors_time_of_each_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = run.Plan((90, 60), images=6, batch=2, processes=(1,), encoder_seconds=0.0)
    monkeypatch.setattr(run, "plans", lambda images, processes: {"small": plan})
    out = tmp_path / "host.json"
    assert run.main(["--turns", "1", "--out", str(out)]) == 0
    rows = json.loads(out.read_text())["plans"]["small"]["rows"]["here"]
    assert list(rows) == [
        "decoding and resizing alone, 1 processes",
        "pipeline from JPEG bytes",
        "RQ to Redis, 1 processes",
    ]
    assert all(row["images_per_second"] > 0 for row in rows.values())
    stages = rows["RQ to Redis, 1 processes"]["processor_ms"]
    assert {"load", "pack", "store", "RQ's books", "hand over to processes", run.WORKER} <= stages.keys()
    assert stages["pack"] > 0
    assert "RQ to Redis, of decoding and resizing alone" in capsys.readouterr().out


def test_ratios_are_told_of_both_sides() -> None:
    def rows(rate: float, ms: float) -> run.Rows:
        return {
            "decoding and resizing alone, 2 processes": {"images_per_second": 50.0, "processor_ms": {}},
            "RQ to Redis, 2 processes": {"images_per_second": rate, "processor_ms": {run.WORKER: ms}},
        }

    found = {"here": rows(45.0, 20.0), "other": rows(25.0, 40.0)}
    free, sleeping = (run.Plan((9, 9), 9, 4, (1, 2), seconds) for seconds in (0.0, 0.02))
    assert [line.rpartition(": ")[2] for line in run.verdicts(free, found)] == ["0.90", "0.50", "0.50", "0.90"]
    assert [line.rpartition(": ")[2] for line in run.verdicts(sleeping, found)] == ["0.90", "0.50", "0.50"]


def test_the_median_of_each_number_counts() -> None:
    turns = [{"row": {"images_per_second": rate, "processor_ms": {"pack": rate / 10}}} for rate in (30.0, 10.0, 20.0)]
    assert run.medians(turns) == {"row": {"images_per_second": 20.0, "processor_ms": {"pack": 2.0}}}
