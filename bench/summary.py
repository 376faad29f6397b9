"""`python -m bench.summary` prints the newest recorded run for the README, to go between its `<!-- bench -->` marks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.record import Record, Row

FOLDER = Path(__file__).with_name("results")
"""The folder of recorded runs."""

_SHOWN = {
    "a": ("SamPredictor", "torch", "ours", "ratio"),
    "b": ("SamPredictor", "p50", "p95", "p99", "ratio"),
    "c": ("warm", "cold", "the next", "extra decoder times"),
    "d": ("rate", "against one on one", "p95"),
    "e": ("per prompt", "of a single one"),
    "f": ("rle", "png", "polygons", "more"),
    "g": ("least IoU", "mean IoU", "masks below", "most wrong in a mask", "logits, most"),
    "h": ("in Redis", "in an API process"),
    "i": ("SAM2ImagePredictor", "p50", "p95", "p99", "ratio"),
}
"""The numbers of each section that the summary shows."""

_WHOLE = "ah"
"""Sections whose every row is shown. Of the others, the summary shows the rows that have a bound."""


def newest() -> Record | None:
    """The newest recorded run, or None if there is none."""
    files = sorted(FOLDER.glob("*-prompt.json"))
    return read(files[-1]) if files else None


def read(file: Path) -> Record:
    return Record.from_json(json.loads(file.read_text()))


def markdown(record: Record | None) -> str:
    """Machine and date, the plots, a table, and a link to the whole record."""
    if record is None:
        return "No run is recorded yet; `make bench` records one.\n"
    about, date, versions = record.about, record.about["date"][:10], record.about["versions"]
    lines = [
        f"Run of {date} on {about['processor']}, {about['cores']} cores; ONNX Runtime "
        f"{versions['onnxruntime']}, torch {versions['torch']}. Both sides in one run, in turns; `SamPredictor` is "
        f"segment_anything's, in process. [Everything measured](bench/results/{date}-prompt.json); "
        "`make bench` measures again.",
        "",
        f"![Latency](bench/results/{date}-prompt-latency.svg)",
        "",
        f"![Throughput](bench/results/{date}-prompt-throughput.svg)",
        "",
        "| | measured | asked |",
        "|---|---|---|",
    ]
    for section in record.sections:
        lines.append(f"| **{section.title}** | | |")
        lines += [
            f"| {row.what} | {_numbers(row, section.key)} | {_asked(row)} |"
            for row in section.rows
            if row.bound or section.key in _WHOLE
        ]
    return "\n".join(lines) + "\n"


def _numbers(row: Row, key: str) -> str:
    return ", ".join(f"{name} {row.numbers[name]}" for name in _SHOWN[key] if name in row.numbers)


def _asked(row: Row) -> str:
    return "" if row.bound is None else f"{row.bound}: {'yes' if row.passed else '**no**'}"


if __name__ == "__main__":
    sys.stdout.write(markdown(newest()))
