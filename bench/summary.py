"""What a recorded run of `make bench` found, as docs/performance.md shows it between its `<!-- bench -->` marks."""

from __future__ import annotations

import json
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


def read(file: Path) -> Record:
    return Record.from_json(json.loads(file.read_text()))


def markdown(record: Record, name: str) -> str:
    """Machine and date, the plots, a table, and a link to the whole record.

    Args:
        name: name of the record's file in `bench/results/`.
    """
    about, date, versions = record.about, record.about["date"][:10], record.about["versions"]
    file, stem = f"../bench/results/{name}", f"../bench/results/{name.removesuffix('.json')}"
    lines = [
        f"Run of {date} on {about['processor']}, {about['cores']} cores; ONNX Runtime "
        f"{versions['onnxruntime']}, torch {versions['torch']}. Both sides in one run, in turns; `SamPredictor` is "
        f"segment_anything's, in process. [Everything measured]({file}); "
        "`make bench` measures again.",
        "",
        f"![Latency]({stem}-latency.svg)",
        "",
        f"![Throughput]({stem}-throughput.svg)",
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
