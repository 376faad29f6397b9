"""`python -m bench.compare CHECKOUT`: the bench of prompts on another checkout and on this one, in turns, in one run.

Both sides run with the same interpreter and libraries, so only the project's own code differs. A processor's speed
changes from turn to turn by some percent, so of each number the median of all turns counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench.plan import FULL, Plan
from bench.record import Record

HERE = Path(__file__).resolve().parents[1]

PLAN = replace(
    FULL,
    decoder_rounds=8,
    http_rounds=60,
    cold_rounds=12,
    processes=(1, 2),
    load_rounds=2,
    batch_rounds=3,
    size_rounds=20,
    reference_rounds=1,
    mask_rounds=1,
    photos=2,
    every_setup=False,
)
"""About three minutes a turn."""

SLOWER = 1.03
"""A number that is worse by more than this factor is marked."""

_BETTER_IF_LARGER = {"ms": False, "s": False, "prompts/s": True}
"""The units that are compared. Sizes and differences of masks have their own bounds."""

_TURN = """
import json, sys
from pathlib import Path
from bench.__main__ import run
from bench.plan import Plan
fields = json.loads(sys.argv[1])
plan = Plan(**{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()})
Path(sys.argv[2]).write_text(json.dumps(run(plan, (), quick=True).as_json()))
"""


@dataclass(frozen=True, slots=True)
class Compared:
    """One number of both sides.

    Attributes:
        name: section, row and number.
        other: the median over the turns of the other checkout.
        here: the same of this one.
    """

    name: str
    unit: str
    other: float
    here: float

    @property
    def slowdown(self) -> float:
        """How many times worse this checkout is; below 1 where it is better."""
        return self.other / self.here if _BETTER_IF_LARGER[self.unit] else self.here / self.other

    def __str__(self) -> str:
        mark = "" if self.slowdown <= SLOWER else f"   [worse by more than {SLOWER - 1:.0%}]"
        return f"{self.name:<96} {self.other:9.2f} {self.here:9.2f} {self.unit:<9} {self.slowdown:.3f}x{mark}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both sides in turns; the exit status is 0 whatever the numbers are."""
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description="Compare the cost of prompts.")
    parser.add_argument("checkout", type=Path, help="folder of the other checkout, for example a git worktree")
    parser.add_argument("--turns", type=int, default=3, help="turns of each side")
    options = parser.parse_args(arguments)
    sides: dict[str, list[Record]] = {"other": [], "here": []}
    for turn in range(options.turns):
        order = [("other", options.checkout.resolve()), ("here", HERE)]
        for side, folder in order if turn % 2 == 0 else reversed(order):
            print(f"turn {turn + 1}: {folder}", flush=True)
            sides[side].append(_turn(folder, PLAN))
    print(f"{'':<96} {'other':>9} {'here':>9}")
    for one in compared(sides["other"], sides["here"]):
        print(one)
    return 0


def compared(other: Iterable[Record], here: Iterable[Record]) -> list[Compared]:
    """The median of each number that both sides have."""
    medians = {side: _medians(records) for side, records in (("other", other), ("here", here))}
    return [
        Compared(name, unit, value, medians["here"][name][1])
        for name, (unit, value) in medians["other"].items()
        if name in medians["here"]
    ]


def _medians(records: Iterable[Record]) -> Mapping[str, tuple[str, float]]:
    found: dict[str, tuple[str, list[float]]] = {}
    for record in records:
        for section in record.sections:
            for row in section.rows:
                for name, quantity in row.numbers.items():
                    if quantity.unit not in _BETTER_IF_LARGER or "SamPredictor" in f"{row.what} {name}":
                        continue
                    if not quantity.value:  # a stage that no request entered
                        continue
                    key = f"({section.key}) {row.what}: {name}"
                    found.setdefault(key, (quantity.unit, []))[1].append(quantity.value)
    return {key: (unit, statistics.median(values)) for key, (unit, values) in found.items()}


def _turn(folder: Path, plan: Plan) -> Record:
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch, "record.json")
        subprocess.run(
            [sys.executable, "-c", _TURN, json.dumps(asdict(plan)), str(result)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(folder / "client" / "src")))},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        document: Any = json.loads(result.read_text())
        return Record.from_json(document)


if __name__ == "__main__":
    sys.exit(main())
