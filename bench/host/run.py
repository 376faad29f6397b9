"""`python -m bench.encode --host`: how fast the worker is around an encoder that costs nothing.

It decodes and resizes JPEGs, keeps RQ's books, packs embeddings and stores them in a real Redis. It prints images per
second, by the number of processes that decode, and what each stage costs the processors. It runs on any machine.

Two kinds of photos are used: 1800x1200 with an encoder that takes no time, and 300x200 with one that takes 33 ms an
image without needing the processor, as a GPU does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import machine
from bench.host.plan import Plan
from bench.host.spent import WORKER, Row
from shared.host.cores import usable_cores

HERE = Path(__file__).resolve().parents[2]
_START = Path(__file__).with_name("start.py")

Rows = dict[str, Row]
"""By name."""


def plans(images: int, processes: tuple[int, ...]) -> dict[str, Plan]:
    """The kinds of photos that are measured, by what they are."""
    return {
        "1800x1200, an encoder that costs nothing": Plan((1800, 1200), images, 4, processes, 0.0),
        "300x200, an encoder that sleeps 33 ms an image": Plan((300, 200), images, 4, processes[-1:], 0.033),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.encode --host", description=__doc__)
    parser.add_argument("--images", type=int, default=200, help="images timed in each row")
    parser.add_argument(
        "--processes", type=int, nargs="+", default=None, help="how many decode; default: up to the cores"
    )
    parser.add_argument(
        "--beside", type=Path, help="folder of another checkout that is measured in turns with this one"
    )
    parser.add_argument("--turns", type=int, default=3, help="turns of each checkout")
    parser.add_argument("--out", type=Path, help="JSON with all numbers")
    options = parser.parse_args(arguments)
    cores = usable_cores()
    processes = tuple(
        sorted(set(options.processes or {1, *(2**power for power in range(1, 9) if 2**power < cores), cores}))
    )
    sides = {"here": HERE} | ({"other": options.beside.resolve()} if options.beside else {})
    about = machine.about(quick=False)
    print("\n".join(f"{name}: {value}" for name, value in about.items()), flush=True)
    record: dict[str, Any] = {"about": about, "plans": {}}
    for what, plan in plans(options.images, processes).items():
        turns: dict[str, list[Rows]] = {side: [] for side in sides}
        for number in range(options.turns):
            for side in list(sides)[:: -1 if number % 2 else 1]:
                turns[side].append(run_turn(sides[side], plan))
        found = {side: medians(rows) for side, rows in turns.items()}
        print("\n".join([f"\n{what}, batch {plan.batch}", *table(found), *verdicts(plan, found)]), flush=True)
        record["plans"][what] = {"plan": asdict(plan), "rows": found}
    if options.out:
        options.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


def run_turn(folder: Path, plan: Plan) -> Rows:
    """Run `bench.host.turn` on a checkout, and return its rows by name."""
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch, "rows.json")
        subprocess.run(
            [sys.executable, str(_START), "turn", json.dumps(asdict(plan)), str(result)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(folder / "client" / "src")))},
            check=True,
        )
        rows: Rows = json.loads(result.read_text(encoding="utf-8"))
        return rows


def medians(turns: Sequence[Rows]) -> Rows:
    """The median over the turns, of each row's rate and of each of its stages."""
    return {
        name: {
            "images_per_second": statistics.median(turn[name]["images_per_second"] for turn in turns),
            "processor_ms": {
                stage: statistics.median(turn[name]["processor_ms"].get(stage, 0.0) for turn in turns)
                for stage in turns[0][name]["processor_ms"]
            },
        }
        for name in turns[0]
    }


def table(found: Mapping[str, Rows]) -> list[str]:
    """A line for each row of each side, with its stages in milliseconds of the processor per image."""
    lines = []
    for side, rows in found.items():
        lines += [f"  {side}:"] if len(found) > 1 else []
        for name, row in rows.items():
            stages = ", ".join(f"{stage} {ms:.2f}" for stage, ms in row["processor_ms"].items())
            lines.append(f"  {name:<48}{row['images_per_second']:8.1f} images/s   processor ms per image: {stages}")
    return lines


def verdicts(plan: Plan, found: Mapping[str, Rows]) -> list[str]:
    """The ratios that are asked for, each with the most processes."""
    way, alone = f"RQ to Redis, {plan.most} processes", f"decoding and resizing alone, {plan.most} processes"
    workers, card = f"RQ to Redis, {plan.most} workers that decode themselves", f"{way}, the card resizes"
    rates = {side: {name: row["images_per_second"] for name, row in rows.items()} for side, rows in found.items()}
    lines = []
    for side, rate in rates.items():
        if plan.encoder_seconds:
            lines.append(f"  {side}: RQ to Redis, of the encoder alone: {rate[way] * plan.encoder_seconds:.2f}")
            continue
        lines.append(f"  {side}: RQ to Redis, of decoding and resizing alone: {rate[way] / rate[alone]:.2f}")
        if card in rate:
            ratio = rate[card] / rate[alone]
            lines.append(f"  {side}: RQ to Redis where the card resizes, of decoding and resizing alone: {ratio:.2f}")
        if workers in rate:
            ratio = rate[workers] / rate[way]
            lines.append(f"  {side}: {workers}, of {plan.most} processes that decode: {ratio:.2f}")
    if len(found) > 1:
        ms = {side: rows[way]["processor_ms"][WORKER] for side, rows in found.items()}
        lines.append(f"  processor time per image, of the other's: {ms['here'] / ms['other']:.2f}")
        if not plan.encoder_seconds:
            ratio = rates["here"][way] / rates["other"][alone]
            lines.append(f"  RQ to Redis here, of the other's decoding and resizing alone: {ratio:.2f}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
