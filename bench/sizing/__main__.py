"""`python -m bench.sizing --annotators 1000`: the plan for a service of yours; without arguments, the doc's tables."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import MISSING, fields

from bench.record import Record
from bench.scale.summary import markdown
from bench.sizing.assumptions import SCALE, Costs, Work
from bench.sizing.plan import plan
from bench.sizing.tables import costs_table, misses_table, plans_table, sizes_table
from bench.summary import FOLDER


def main(arguments: Sequence[str] | None = None) -> int:
    """Print; 0."""
    options = _parse(arguments)
    if options.annotators is None:
        for name, table in tables().items():
            print(f"<!-- {name} -->\n{table}<!-- /{name} -->\n")
        return 0
    work = Work(**{one.name: getattr(options, one.name) for one in fields(Work)})
    costs = Costs(**{one.name: getattr(options, one.name) for one in fields(Costs)})
    print(plans_table([(f"{work.annotators:,} annotators", plan(work, costs))]), end="")
    return 0


def tables() -> dict[str, str]:
    """The tables of `docs/scaling.md`, by the name of the markers they stand between."""
    costs = Costs()
    record = Record.from_json(json.loads((FOLDER / SCALE).read_text()))
    return {
        "measured": markdown(record, SCALE),
        "costs": costs_table(costs),
        "misses": misses_table(),
        "plans": sizes_table(costs),
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.sizing", description="What so many annotators need; docs/scaling.md explains each number."
    )
    parser.add_argument("--annotators", type=int, help="active at the same time; without it, the doc's tables")
    for one in (*fields(Work)[1:], *fields(Costs)):
        assert one.default is not MISSING
        parser.add_argument("--" + one.name.replace("_", "-"), type=float, default=one.default, help="(%(default)s)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
