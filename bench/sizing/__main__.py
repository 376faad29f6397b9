"""`python -m bench.sizing --annotators 1000` prints a plan; without arguments, it renews the document's tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

from bench.scale.summary import markdown
from bench.sizing.assumptions import Costs, Work
from bench.sizing.plan import plan
from bench.sizing.recorded import SCALE, recorded, recorded_costs
from bench.sizing.tables import costs_table, misses_table, plans_table, sizes_table
from deploy.local.process import ROOT

DOC = ROOT / "docs/scaling.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a plan, or renew the tables of the document. The exit status is 0."""
    options = _parse(arguments)
    if options.annotators is None:
        DOC.write_text(renewed(DOC.read_text(), tables()))
        print(f"wrote the tables of {DOC}")
        return 0
    work = Work(**{one.name: getattr(options, one.name) for one in fields(Work)})
    costs = Costs(**{one.name: getattr(options, one.name) for one in fields(Costs)})
    print(plans_table([(f"{work.annotators:,} annotators", plan(work, costs))]), end="")
    return 0


def tables() -> dict[str, str]:
    """The tables of `docs/scaling.md`, by the names of their markers."""
    costs = recorded_costs()
    return {
        "measured": markdown(recorded(SCALE), SCALE),
        "misses": misses_table(),
        "costs": costs_table(costs),
        "plans": sizes_table(costs),
    }


def renewed(text: str, contents: Mapping[str, str]) -> str:
    """`text` with these contents between its markers."""
    for name, content in contents.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(start)
        text = before + start + content + end + rest.partition(end)[2]
    return text


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.sizing", description="What so many annotators need; docs/scaling.md explains each number."
    )
    parser.add_argument(
        "--annotators", type=int, help="active at the same time; without it, the doc's tables are renewed"
    )
    defaults = {**asdict(Work(annotators=1)), **asdict(recorded_costs())}
    del defaults["annotators"]
    for name, value in defaults.items():
        parser.add_argument("--" + name.replace("_", "-"), type=float, default=value, help="(%(default)g)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
