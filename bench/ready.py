"""`python -m bench.ready CHECKOUT`: from upload to ready, on another checkout and on this one, in turns, in one run.

Each turn starts the whole service with MobileSAM and one worker, and uploads photos of 1800x1200 with `wait`, one after
the other. Both sides run with the same interpreter and libraries. Install OpenVINO, or both run in ONNX Runtime.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.compare import HERE
from bench.encode_service import jpegs
from bench.photos import STANDARD, photos

ASKED = 1.15
"""How many times faster this checkout is to be than commit 573199c of 2026-11-23."""

_WARM_UP = 3

_TURN = """
import http.client, json, sys, time
from pathlib import Path
from urllib.parse import urlsplit
from deploy.local.stack import LocalStack
seconds = []
with LocalStack({"SAM_MODEL": "mobile_sam", "SAM_MODELS": ""}) as stack:
    connection = http.client.HTTPConnection(urlsplit(stack.url).netloc, timeout=60)
    for path in sys.argv[1:]:
        data = Path(path).read_bytes()
        started = time.perf_counter()
        connection.request("POST", "/v1/images?wait=30", data)
        answer = json.loads(connection.getresponse().read())
        seconds.append(time.perf_counter() - started)
        assert answer["status"] == "ready", answer
print(json.dumps(seconds))
"""
"""What one side runs, in its own folder. It needs only what every checkout has."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both sides in turns; the exit status is 0 whatever the numbers are."""
    parser = argparse.ArgumentParser(prog="python -m bench.ready", description="Compare the time from upload to ready.")
    parser.add_argument("checkout", type=Path, help="folder of the other checkout, for example a git worktree")
    parser.add_argument("--turns", type=int, default=3, help="turns of each side")
    parser.add_argument("--images", type=int, default=8, help="photos that are timed in each turn")
    options = parser.parse_args(arguments)
    taken: dict[str, list[float]] = {"other": [], "here": []}
    with tempfile.TemporaryDirectory() as scratch:
        files = _files(Path(scratch), _WARM_UP + options.images)
        for turn in range(options.turns):
            order = [("other", options.checkout.resolve()), ("here", HERE)]
            for side, folder in order if turn % 2 == 0 else reversed(order):
                milliseconds = _turn(folder, files)[_WARM_UP:]
                print(f"turn {turn + 1}: {side:<6} median {statistics.median(milliseconds):7.0f} ms", flush=True)
                taken[side] += milliseconds
    print(summary(taken["other"], taken["here"]))
    return 0


def summary(other: Sequence[float], here: Sequence[float]) -> str:
    """One line for each of both measures: the median and the least of all turns, in milliseconds."""
    lines = []
    for name, measure in (("median", statistics.median), ("least", min)):
        before, now = measure(other), measure(here)
        lines.append(f"{name}: other {before:.0f} ms, here {now:.0f} ms, {before / now:.2f}x (asked: {ASKED}x)")
    return "\n".join(lines)


def _files(folder: Path, count: int) -> list[Path]:
    files = []
    for number, jpeg in enumerate(jpegs(photos()[0].resized(STANDARD), count)):
        files.append(folder / f"{number}.jpg")
        files[-1].write_bytes(jpeg)
    return files


def _turn(folder: Path, files: Sequence[Path]) -> list[float]:
    """Milliseconds of each photo."""
    done = subprocess.run(
        [sys.executable, "-c", _TURN, *map(str, files)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(folder / "client" / "src")))},
        stdout=subprocess.PIPE,
        check=True,
    )
    return [1000 * seconds for seconds in json.loads(done.stdout.splitlines()[-1])]


if __name__ == "__main__":
    sys.exit(main())
