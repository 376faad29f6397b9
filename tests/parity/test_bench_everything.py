"""The bench of everything mode runs as a whole on a tiny grid, so a fault in it is found before a long run."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from bench import everything
from bench.everything_beside import markdown


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the bench binds threads to cores, which only Linux can"
)
def test_every_section_is_measured_and_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results" / "everything.json"
    given = ["--points", "2", "--photos", "1", "--singles", "1", "--output", str(out)]
    assert everything.main(given) == 0
    record = json.loads(out.read_text())
    assert [section["key"] for section in record["sections"]] == ["a", "c", "d"]
    assert record["about"]["quick"]
    meta, exact, masks, *_ = record["sections"][0]["rows"]
    assert meta["what"] == "SamAutomaticMaskGenerator"
    assert exact["numbers"]["against Meta's"]["value"] > 0
    assert masks["passed"]
    for row in record["sections"][2]["rows"]:
        assert row["bound"] == {"number": "ratio", "least": None, "most": 1.5}
        assert row["numbers"]["ratio"]["value"] > 0
        # One prompt takes so little time that the mask worker may get none of it beside other programs.
        assert 0 <= row["numbers"]["mask worker"]["value"] < 100 * (os.cpu_count() or 1) + 1
    assert "Everything mode against Meta's generator" in capsys.readouterr().out
    assert markdown(out.parent) == "No recorded run has it yet.\n"  # a quick run is none


def test_the_page_shows_the_newest_whole_record_of_prompts_beside_a_job(tmp_path: Path) -> None:
    def record(date: str, p95: float, *, quick: bool = False, key: str = "d") -> None:
        numbers = {name: {"value": p95, "unit": "ms"} for name in ("quiet p95", "beside p95")}
        numbers |= {"ratio": {"value": 1.25, "unit": "x"}, "mask worker": {"value": 99.5, "unit": "%"}}
        row = {"what": "prompts", "numbers": numbers, "bound": None, "passed": None}
        about = {"date": date, "quick": quick, "processor": "some", "cores": 2}
        section = {"key": key, "title": "", "note": "", "rows": [row]}
        file = tmp_path / f"{date}-everything.json"
        file.write_text(json.dumps({"about": about, "sections": [section]}))

    record("2026-01-01", 11.0)
    record("2026-01-02", 12.0)
    record("2026-01-03", 13.0, quick=True)
    record("2026-01-04", 14.0, key="a")
    shown = markdown(tmp_path)
    assert "Run of 2026-01-02 on some, 2 cores" in shown
    assert "| prompts | 12.0 ms | 12.0 ms | 1.25x | 99.5 % |" in shown
