"""The tables of a recorded run of many replicas, for `docs/scaling.md`."""

from __future__ import annotations

from bench.record import Record, Row


def markdown(record: Record, name: str) -> str:
    """Machine and date, the plots, and every row.

    Args:
        name: name of the record's file in `bench/results/`.
    """
    about, folder = record.about, "../bench/results"
    stem = name.removesuffix(".json")
    lines = [
        f"Run of {about['date'][:10]} on {about['processor']}, {about['cores']} cores, load before "
        f"{about['load before']:g}. [Everything measured]({folder}/{name}); `make bench-scale` measures again.",
        "",
        f"![A replica more, and one less, under load]({folder}/{stem}-change.svg)",
        "",
        f"![Which tier has the image]({folder}/{stem}-tiers.svg)",
        "",
        "| | measured | asked |",
        "|---|---|---|",
    ]
    for section in record.sections:
        lines.append(f"| **{section.title}** | {section.note} | |")
        lines += [f"| {row.what} | {_numbers(row)} | {_asked(row)} |" for row in section.rows]
    return "\n".join(lines) + "\n"


def _numbers(row: Row) -> str:
    return ", ".join(f"{name} {quantity}" for name, quantity in row.numbers.items())


def _asked(row: Row) -> str:
    return "" if row.bound is None else f"{row.bound}: {'yes' if row.passed else '**no**'}"
