"""The bench of everything mode runs as a whole on a tiny grid, so a fault in it is found before a long run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench import everything


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="the bench binds threads to cores, which only Linux can"
)
def test_every_section_is_measured_and_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results" / "everything.json"
    given = ["--points", "2", "--photos", "1", "--singles", "1", "--output", str(out)]
    assert everything.main(given) == 0
    record = json.loads(out.read_text())
    assert [section["key"] for section in record["sections"]] == ["a", "c"]
    assert record["about"]["quick"]
    meta, exact, masks, *_ = record["sections"][0]["rows"]
    assert meta["what"] == "SamAutomaticMaskGenerator"
    assert exact["numbers"]["against Meta's"]["value"] > 0
    assert masks["passed"]
    assert "Everything mode against Meta's generator" in capsys.readouterr().out
