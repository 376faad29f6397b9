"""Which recorded runs the documents show and the plans start from: `bench/results/shown.json` names one of a kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "bench/results/shown.json"

PATTERNS = {
    "prompt": "bench/results/*-prompt.json",
    "scale": "bench/results/*-scale.json",
    "regions": "bench/results/*-regions.json",
    "encode": "bench/results/*-encode-vit_h-*.json",
    "chaos": "tests/chaos/results/*-chaos.json",
}
"""Where the records of each kind are, from the root of the checkout."""


def shown(kind: str) -> Path:
    """The file of the record that the documents show.

    Args:
        kind: a key of `PATTERNS`.
    """
    return ROOT / str(json.loads(FILE.read_text())[kind])


def show_newest() -> None:
    """Let the documents show the newest record of each kind, by the date inside it. Quick runs are left out."""
    FILE.write_text(json.dumps({kind: _newest(kind) for kind in PATTERNS}, indent=2) + "\n")


def _newest(kind: str) -> str:
    dates = {file: _about(file) for file in ROOT.glob(PATTERNS[kind])}
    whole = [file for file, about in dates.items() if not about["quick"]]
    return max(whole, key=lambda file: str(dates[file]["date"])).relative_to(ROOT).as_posix()


def _about(file: Path) -> dict[str, Any]:
    about = json.loads(file.read_text())["about"]
    assert isinstance(about, dict)
    return about
