"""The bench of what is around the encoder runs, and tells what was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.host import run
from bench.host.alone import jpegs
from bench.host.encoders import FreeResizingEncoder
from bench.host.spent import SERVER, WORKER, Spent
from encoder_worker.encoding.encoder import ResizingEncoder
from shared.images.reading import inspect_image


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
        "RQ to Redis, 1 workers that decode themselves",
        "decoding alone, 1 processes",
        "RQ to Redis, 1 processes, the card resizes",
    ]
    assert all(row["images_per_second"] > 0 for row in rows.values())
    stages = rows["RQ to Redis, 1 processes"]["processor_ms"]
    assert {"load", "pack", "store", "RQ's books", "hand over to processes", WORKER} <= stages.keys()
    assert stages["pack"] > 0
    themselves = rows["RQ to Redis, 1 workers that decode themselves"]["processor_ms"]
    assert {"load", "pack", "store", "RQ's books", "decode and resize", WORKER, SERVER} <= themselves.keys()
    assert themselves["decode and resize"] > 0
    assert "RQ to Redis, of decoding and resizing alone" in capsys.readouterr().out


def test_ratios_are_told_of_both_sides() -> None:
    def rows(rate: float, ms: float) -> run.Rows:
        return {
            "decoding and resizing alone, 2 processes": {"images_per_second": 50.0, "processor_ms": {}},
            "RQ to Redis, 2 processes": {"images_per_second": rate, "processor_ms": {WORKER: ms}},
        }

    found = {"here": rows(45.0, 20.0), "other": rows(25.0, 40.0)}
    free, sleeping = (run.Plan((9, 9), 9, 4, (1, 2), seconds) for seconds in (0.0, 0.02))
    assert [line.rpartition(": ")[2] for line in run.verdicts(free, found)] == ["0.90", "0.50", "0.50", "0.90"]
    assert [line.rpartition(": ")[2] for line in run.verdicts(sleeping, found)] == ["0.90", "0.50", "0.50"]


def test_ratios_are_told_of_the_rows_that_a_side_has() -> None:
    rates = {
        "decoding and resizing alone, 2 processes": 50.0,
        "RQ to Redis, 2 processes": 40.0,
        "RQ to Redis, 2 workers that decode themselves": 30.0,
        "RQ to Redis, 2 processes, the card resizes": 60.0,
    }
    found = {"here": {name: {"images_per_second": rate, "processor_ms": {}} for name, rate in rates.items()}}
    assert run.verdicts(run.Plan((9, 9), 9, 4, (1, 2), 0.0), found) == [
        "  here: RQ to Redis, of decoding and resizing alone: 0.80",
        "  here: RQ to Redis where the card resizes, of decoding and resizing alone: 1.20",
        "  here: RQ to Redis, 2 workers that decode themselves, of 2 processes that decode: 0.75",
    ]


def test_the_encoder_that_stands_for_a_card_copies_each_picture_and_gives_a_frame_of_its_size() -> None:
    spent = Spent()
    encoder = FreeResizingEncoder(batch=2, spent=spent)
    assert isinstance(encoder, ResizingEncoder)
    large, small = (np.full((*size, 3), level, np.uint8) for size, level in (((1200, 1800), 7), ((30, 20), 9)))
    assert encoder.resizes((1200, 1800))
    assert encoder.resized(large).shape == (683, 1024, 3)
    memory = encoder.page_locked
    assert np.array_equal(memory, large.ravel())
    assert encoder.resized(small).shape == (1024, 683, 3)
    assert encoder.page_locked is memory
    assert np.array_equal(memory[: small.size], small.ravel())
    assert spent.seconds["copy for the card"] > 0


def test_the_files_of_one_photo_are_all_different_and_can_be_read() -> None:
    files = jpegs((90, 60), 3)
    assert len(set(files)) == 3
    assert {inspect_image(file, max_pixels=9_999).original for file in files} == {(60, 90)}


def test_the_median_of_each_number_counts() -> None:
    turns = [{"row": {"images_per_second": rate, "processor_ms": {"pack": rate / 10}}} for rate in (30.0, 10.0, 20.0)]
    assert run.medians(turns) == {"row": {"images_per_second": 20.0, "processor_ms": {"pack": 2.0}}}
