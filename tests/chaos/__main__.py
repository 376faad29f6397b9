"""`make chaos`, or `python -m tests.chaos`: break the running service in every way that it promises to survive."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.cores import available
from tests.chaos.faults import FAULTS
from tests.chaos.judge import broken_promises
from tests.chaos.report import FOLDER, as_json, file_name, markdown
from tests.chaos.run import FULL, QUICK, only, run

SEED = 2026


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it. Return 0 if every promise was kept, 1 if one was broken, 2 if it cannot run on this machine."""
    options = _parse(arguments)
    if sys.platform != "linux":
        _say("this needs Linux: the faults use /proc and set limits of other processes")
        return 2
    plan = QUICK if options.quick else FULL
    if options.fault:
        plan = only(plan, options.fault)
    load, cores = os.getloadavg()[0], len(available())
    if load > cores:
        _say(f"this machine is busy (load {load:.1f} on {cores} cores): the time limits assume a quiet machine")
    done = run(plan, options.seed, _say)
    broken = broken_promises(done)
    record = as_json(done, broken)
    _say(f"\n{markdown(record, file_name(record))}")
    for sentence in broken:
        _say(f"BROKEN: {sentence}")
    output = options.output or (None if options.quick or options.fault else FOLDER)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        file = output / file_name(record)
        file.write_text(json.dumps(record, indent=1) + "\n")
        _say(f"wrote {file}")
    return 1 if broken else 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Break the running service.")
    parser.add_argument("--seed", type=int, default=SEED, help="of the images, the prompts and the load")
    parser.add_argument("--quick", action="store_true", help="without weights, with fewer faults, in half a minute")
    names = [fault.name for fault in FAULTS]
    parser.add_argument(
        "--fault", action="append", choices=names, metavar="NAME", help=f"only this: {', '.join(names)}"
    )
    parser.add_argument(
        "--output", type=Path, help="folder of the record (default: tests/chaos/results; none if quick)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
