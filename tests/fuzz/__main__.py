"""`python -m tests.fuzz`: fuzzes each target in turn, guided by coverage, and prints what was run and found."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEPT = HERE.parents[1] / ".fuzz"
"""The folder of inputs that reached new code. The next run starts from them."""


_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    # glibc: memory of arrays of changing sizes goes back to the system and does not fragment the heap.
    "MALLOC_MMAP_THRESHOLD_": "65536",
}


def main() -> int:
    """Return exit status 1 if a target found an input that breaks its promise. The input is kept in the corpus."""
    targets = sorted(path.stem for path in (HERE / "targets").glob("[a-z]*.py"))
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "targets", nargs="*", metavar="target", help=f"{', '.join(targets)}; all targets if none is named"
    )
    parser.add_argument("--seconds", type=float, default=60, help="processor time for each target")
    arguments = parser.parse_args()
    failed = False
    for target in arguments.targets or targets:
        result = _fuzzed(target, arguments.seconds)
        failed |= bool(result["found"])
        print(json.dumps({"target": target, **result}), flush=True)
    return int(failed)


def _fuzzed(target: str, seconds: float) -> dict[str, Any]:
    """Return executions, processor time, and the inputs that broke a promise. The first one ends the run."""
    bad = HERE / "corpus" / target
    kept = KEPT / target
    for folder in (bad, kept):
        folder.mkdir(parents=True, exist_ok=True)
    before = set(bad.iterdir())
    executions, used = 0, 0.0
    with (KEPT / f"{target}.log").open("wb+") as log:
        while used < seconds and set(bad.iterdir()) == before:
            subprocess.run(
                [sys.executable, "-m", "tests.fuzz.one", target, str(seconds - used), kept, f"-artifact_prefix={bad}/"],
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
                cwd=HERE.parents[1],
                env={**os.environ, **_ENVIRONMENT},
            )
            log.seek(0)
            last = log.readlines()[-1]
            if not last.startswith(b"{"):
                break
            said = json.loads(last)
            executions, used = executions + said["executions"], used + said["seconds"]
    found = sorted(path.name for path in set(bad.iterdir()) - before)
    if used < seconds and not found:
        raise RuntimeError(f"the fuzzer ended early; see {log.name}")
    return {"executions": executions, "seconds": round(used), "kept": len(list(kept.iterdir())), "found": found}


if __name__ == "__main__":
    sys.exit(main())
