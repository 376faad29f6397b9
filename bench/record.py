"""What a run of the bench found: rows of numbers, some of them with a bound. Written as JSON and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_DECIMALS = {
    **dict.fromkeys(("images", "prompts", "pixels", "masks"), 0),
    **dict.fromkeys(("ms", "s", "MB", "kB", "prompts/s", "%", "points"), 1),
    "x": 2,
    "MiB": 3,
    "": 6,
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and its unit, which is a key of `_DECIMALS`. `x` is a ratio; "" is an IoU or a difference of logits."""

    value: float
    unit: str

    def __str__(self) -> str:
        digits = f"{self.value:.{_DECIMALS[self.unit]}f}"
        return digits if not self.unit else f"{digits}{'' if self.unit == 'x' else ' '}{self.unit}"


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit that was set for one number of a row.

    Attributes:
        number: the number's name in the row.
        least, most: inclusive limits, in the number's unit. Exactly one of them is given.
    """

    number: str
    least: float | None = None
    most: float | None = None

    def holds(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        return f"{self.number} >= {self.least:g}" if self.least is not None else f"{self.number} <= {self.most:g}"


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was measured, its numbers by name in the order to show, and the bound if there is one."""

    what: str
    numbers: Mapping[str, Quantity]
    bound: Bound | None = None

    @property
    def passed(self) -> bool | None:
        """Whether the bound holds; None if the row has no bound."""
        return None if self.bound is None else self.bound.holds(self.numbers[self.bound.number].value)


@dataclass(frozen=True, slots=True)
class Section:
    """A question, and the rows that answer it.

    Attributes:
        key: its letter.
        note: how it was measured, if a reader needs that to understand the numbers.
    """

    key: str
    title: str
    rows: Sequence[Row]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One run.

    Attributes:
        about: date, commit, machine and versions, and whether it was a quick run.
    """

    about: Mapping[str, Any]
    sections: list[Section] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return {"about": dict(self.about), "sections": [_section_json(section) for section in self.sections]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Record:
        """The record that `as_json` wrote."""
        return cls(document["about"], [_section_of(section) for section in document["sections"]])

    def section(self, key: str) -> Section:
        return next(section for section in self.sections if section.key == key)

    def number(self, key: str, what: str, name: str) -> float:
        """The number of this name in a row of a section.

        Raises:
            StopIteration: there is no such row.
        """
        return next(row for row in self.section(key).rows if row.what == what).numbers[name].value


def table(sections: Iterable[Section]) -> str:
    """The sections as aligned text. Each bound says whether it holds."""
    lines: list[str] = []
    for section in sections:
        lines += ["", f"({section.key}) {section.title}"]
        wide = max(len(row.what) for row in section.rows)
        for row in section.rows:
            numbers = "   ".join(f"{name} {quantity}" for name, quantity in row.numbers.items())
            lines.append(f"    {row.what:<{wide}}   {numbers}{_verdict(row)}")
        if section.note:
            lines.append(f"    {section.note}")
    return "\n".join(lines)


def _verdict(row: Row) -> str:
    return "" if row.bound is None else f"   [{row.bound}: {'pass' if row.passed else 'FAIL'}]"


def _section_json(section: Section) -> dict[str, Any]:
    rows = []
    for row in section.rows:
        numbers = {name: {"value": one.value, "unit": one.unit} for name, one in row.numbers.items()}
        bound = row.bound and {"number": row.bound.number, "least": row.bound.least, "most": row.bound.most}
        rows.append({"what": row.what, "numbers": numbers, "bound": bound, "passed": row.passed})
    return {"key": section.key, "title": section.title, "note": section.note, "rows": rows}


def _section_of(document: Mapping[str, Any]) -> Section:
    rows = [
        Row(
            row["what"],
            {name: Quantity(**quantity) for name, quantity in row["numbers"].items()},
            row["bound"] and Bound(**row["bound"]),
        )
        for row in document["rows"]
    ]
    return Section(document["key"], document["title"], rows, document["note"])
