"""`python -m bench.scale`: measures replicas behind the real gateway, in twelve minutes."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.draw import draw
from bench.record import Record, Section, table
from bench.scale.amounts import FULL, QUICK, Amounts
from bench.scale.change import Timelines, change
from bench.scale.encoding import encoding
from bench.scale.population import Population
from bench.scale.rate import rate
from bench.scale.routing import routing
from bench.scale.tiers import tiers
from bench.summary import FOLDER
from deploy.local.process import ProcessGroup
from deploy.local.weights import fetch_weights

SECTIONS = "abcde"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench. The exit status is 0 even if a bound fails: the numbers are the result, and bounds are printed."""
    options = _parse(arguments)
    output = options.output or (None if options.quick else FOLDER)
    record, timelines = run(QUICK if options.quick else FULL, options.only, quick=options.quick)
    if options.only != SECTIONS:  # some sections alone are not recorded
        return 0
    if output is not None:
        for path in write(record, timelines, output):
            print(f"wrote {path}")
    return 0


def run(amounts: Amounts, sections: str = SECTIONS, *, quick: bool) -> tuple[Record, Timelines]:
    """Measure the sections with these letters, and print each one when it is done."""
    started = time.monotonic()
    record = Record(machine.about(quick=quick))
    timelines: Timelines = {}

    def done(section: Section) -> None:
        record.sections.append(section)
        print(f"{table([section])}\n    [after {time.monotonic() - started:.0f} s]", flush=True)

    group = ProcessGroup()
    try:
        fetch_weights(group, {**os.environ, "SAM_MODEL": amounts.model, "SAM_MODELS": ""})
    finally:
        group.close()
    population = Population(amounts.model)
    if "a" in sections:
        done(rate(amounts, population))
    if "b" in sections:
        done(routing(amounts, population))
    if "c" in sections:
        section, timelines = change(amounts, population)
        done(section)
    if "d" in sections:
        done(tiers(amounts))
    if "e" in sections:
        done(encoding(amounts))
    return record, timelines


def write(record: Record, timelines: Timelines, folder: Path) -> list[Path]:
    """Write the record as JSON, and its two plots; the file names begin with the date."""
    folder.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = record.as_json()
    document["timelines"] = {what: [moment.as_json() for moment in line] for what, line in timelines.items()}
    file = folder / f"{record.about['date'][:10]}-scale.json"
    file.write_text(json.dumps(document, indent=1) + "\n")
    return [file, *draw(file)]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description="Measure many replicas.")
    parser.add_argument(
        "--quick", action="store_true", help="everything once, without weights; the numbers mean nothing"
    )
    parser.add_argument("--only", default=SECTIONS, metavar="LETTERS", help="these sections; nothing is recorded")
    parser.add_argument("--output", type=Path, help="folder of the results (default: bench/results; none if quick)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
