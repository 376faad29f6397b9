"""`python -m bench.card`: what only a GPU can show, in ten minutes, into one record in bench/results.

Four parts, each in a process of its own and within its own time. A part that is too slow, or fails, loses only what it
had not measured yet:

- `start`: a worker's first start, which compiles, and the second one, which reads what the first one kept.
- `parity`: the embedding in each precision against float32.
- `workers`: the whole way from RQ to Redis, with one and with two workers on the card, as real processes.
- `steps`: `python -m bench.encode`, every step from `SamPredictor.set_image` on.

The weights are random, unless SAM_WEIGHTS_PATH names a checkpoint. `--tiny` checks these programs on any machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench import machine
from bench.card.network import write_checkpoint
from bench.gpu import device_name
from encoder_worker.backends.on_torch.device import choose_device

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results"


@dataclass(frozen=True, slots=True)
class Part:
    """A program that measures something and writes it down as it goes.

    Attributes:
        name: of its module here; `steps` is `bench.encode`.
        seconds: after which it is ended.
    """

    name: str
    seconds: float


PARTS = (Part("start", 150), Part("parity", 90), Part("workers", 90), Part("steps", 230))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.card", description=__doc__)
    parser.add_argument("--model", default="vit_h", choices=("vit_b", "vit_l", "vit_h"))
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "cpu"))
    parser.add_argument("--parts", default=",".join(part.name for part in PARTS), help="comma-separated")
    parser.add_argument("--tiny", action="store_true", help="two narrow blocks in place of the model")
    parser.add_argument("--out", type=Path, help="JSON; default: bench/results, under date, model and device")
    options = parser.parse_args(arguments)
    device = choose_device(options.device)
    about = {**machine.about(quick=options.tiny), "device": device_name(device), "model": options.model}
    name = re.sub(r"[^a-z0-9]+", "-", about["device"].lower()).strip("-")
    out: Path = options.out or RESULTS / f"{about['date'][:10]}-card-{options.model}-{name}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    record: dict[str, Any] = {"about": about, "parts": {}}
    wanted = options.parts.split(",")
    with TemporaryDirectory(prefix="sam-card-") as temporary:
        folder = Path(temporary)
        given = os.environ.get("SAM_WEIGHTS_PATH")
        checkpoint = Path(given) if given else write_checkpoint(folder, options.model, tiny=options.tiny)
        for part in (part for part in PARTS if part.name in wanted):
            measured = folder / f"{part.name}.json"
            command = [*_module(part), "--model", options.model, "--device", device.type, "--out", str(measured)]
            command += ["--tiny"] if options.tiny else []
            began = time.perf_counter()
            how = _run(command, part.seconds, {"SAM_WEIGHTS_PATH": str(checkpoint), "SAM_WEIGHTS_DIR": str(folder)})
            record["parts"][part.name] = {
                "ended": how,
                "seconds": round(time.perf_counter() - began, 1),
                "rows": json.loads(measured.read_bytes())["rows"] if measured.exists() else [],
            }
            out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
            print(f"{part.name}: {how} after {record['parts'][part.name]['seconds']} s; written to {out}", flush=True)
    return 0 if all(part["ended"] == "done" for part in record["parts"].values()) else 1


def _module(part: Part) -> list[str]:
    return [sys.executable, "-m", "bench.encode" if part.name == "steps" else f"bench.card.{part.name}"]


def _run(command: Sequence[str], seconds: float, environ: dict[str, str]) -> str:
    """Run a program, and end it and what it started when its time is over. Return how it ended."""
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environ, start_new_session=True)
    try:
        code = process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"out of time ({seconds:.0f} s)"
    return "done" if code == 0 else f"failed with {code}"


if __name__ == "__main__":
    sys.exit(main())
