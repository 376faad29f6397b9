"""`python -m tests.fuzz.one TARGET SECONDS FOLDER [libFuzzer's options]`: fuzz one target for at most SECONDS."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from hashlib import sha256
from pathlib import Path

import atheris

from tests.fuzz.bounded import bounded, peak_bytes

_INSTRUMENTED = ["shared", "prompt_api", "encoder_worker", "PIL"]
_HANG_SECONDS = 60
_ROUND_BYTES = 1_500_000_000
"""Peak memory at which a process ends so that a new one starts: atheris leaks results of array comparisons."""
_LARGEST_INPUT = 16 * 1024


def main() -> None:
    target, seconds, folder = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3])
    with atheris.instrument_imports(include=_INSTRUMENTED, enable_loader_override=False):
        module = importlib.import_module(f"tests.fuzz.targets.{target}")
    for seed in module.seeds():
        (folder / sha256(seed).hexdigest()[:20]).write_bytes(seed)
    check = bounded(module.check)
    executions = 0

    def one_input(data: bytes) -> None:
        nonlocal executions
        check(data)
        executions += 1
        used = time.process_time()
        if used > seconds or peak_bytes() > _ROUND_BYTES:
            print(json.dumps({"executions": executions, "seconds": used}), flush=True)
            os._exit(0)

    options = [
        f"-timeout={_HANG_SECONDS}",
        f"-max_len={_LARGEST_INPUT}",
        "-rss_limit_mb=0",
        "-report_slow_units=3600",
        *sys.argv[4:],
    ]
    atheris.Setup([sys.argv[0], *options, str(folder)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
