"""What a recorded run of `bench.regions` found, as docs/regions.md shows it between its `<!-- regions -->` marks."""

from __future__ import annotations

from bench.record import Record, Row


def markdown(record: Record, name: str) -> str:
    """Machine and date, and a table of each section.

    Args:
        name: name of the record's file in `bench/results/`.
    """
    about = record.about
    lines = [
        f"Run of {about['date'][:10]} on {about['processor']}, {about['cores']} cores, which had other work too (load "
        f"{about['load before']:.0f} before the run): times are long, and only their ratios say something. "
        f"[Everything measured](../bench/results/{name}); `python -m bench.regions` measures again.",
    ]
    for section in record.sections:
        names = list(section.rows[0].numbers)
        lines += [
            "",
            f"**{section.title}**. {section.note}",
            "",
            f"| | {' | '.join(names)} | asked |",
            f"|{'---|' * (len(names) + 2)}",
            *(_line(row, names) for row in section.rows),
        ]
    return "\n".join(lines) + "\n"


def _line(row: Row, names: list[str]) -> str:
    numbers = " | ".join(_number(row, name) for name in names)
    asked = "" if row.bound is None else f"{row.bound}: {'yes' if row.passed else '**no**'}"
    return f"| {row.what} | {numbers} | {asked} |"


def _number(row: Row, name: str) -> str:
    number = row.numbers[name]
    if number.unit in ("images", "prompts", "pixels"):
        return f"{number.value:.0f}"
    return f"{number.value:.3f}" if not number.unit and number.value < 0.999 else str(number)
