"""The bench of the encoders also runs without a GPU, so a fault in it is found before it runs on one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_bench_times_every_step_and_writes_them_down(tmp_path: Path) -> None:
    out = tmp_path / "results" / "encode.json"
    options = ["--tiny", "--device", "cpu", "--images", "1", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.encode", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    record = json.loads(out.read_text())
    assert record["about"]["device"] == "CPU"
    ways = [row["what"] for row in record["rows"]]
    assert ways[0] == "SamPredictor.set_image, float32"
    assert ways[-1] == "batch 2, RQ to Redis"
    assert all(row["images_per_second"] > 0 for row in record["rows"])
    assert all(way in done.stdout for way in ways)
