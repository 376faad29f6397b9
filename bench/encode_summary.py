"""What a recorded run of `bench.encode` found, as docs/models.md shows it between its `<!-- gpu -->` marks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ALONE = "that encoder alone"
"""The row that times the encoder of the last rows with nothing around it."""


def markdown(record: Mapping[str, Any], name: str) -> str:
    """Device and date, and a row for each way to encode.

    Args:
        record: what `bench.encode` wrote.
        name: name of the record's file in `bench/results/`.
    """
    about, rows = record["about"], record["rows"]
    lines = [
        f"Run of {about['date'][:10]} on one {about['device']}, {about['cores']} cores, torch "
        f"{about['versions']['torch']}: `{about['model']}` with random weights, photos of 1800x1200. "
        f"[Everything measured](../bench/results/{name}); `python -m bench.encode --model {about['model']}` measures "
        "again.",
        "",
        "| | images/s | ms per image | against the first row | GPU busy | GPU memory |",
        "|---|---|---|---|---|---|",
        *(_line(row) for row in rows),
    ]
    return "\n".join(lines) + "\n"


def share(record: Mapping[str, Any]) -> str:
    """The rate of the whole worker, in percent of the rate of its encoder alone."""
    rates = {row["what"]: row["images_per_second"] for row in record["rows"]}
    return f"{100 * record['rows'][-1]['images_per_second'] / rates[ALONE]:.0f}"


def _line(row: Mapping[str, Any]) -> str:
    busy = "" if row["utilisation"] is None else f"{row['utilisation']:.0f} %"
    memory = "" if row["peak_gb"] is None else f"{row['peak_gb']:.1f} GB"
    return (
        f"| {row['what']} | {row['images_per_second']:.1f} | {row['ms_per_image']:.1f} "
        f"| {row['against_published']:.2f}x | {busy} | {memory} |"
    )
