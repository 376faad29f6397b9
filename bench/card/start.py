"""The first start of a worker, which compiles the network, and the second one, which reads what the first one kept."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from bench.card.options import Rows, read_options


def main(arguments: Sequence[str] | None = None) -> int:
    options = read_options("start", __doc__, arguments)
    rows = Rows(options.out)
    for what in ("first start", "second start"):
        command = [sys.executable, "-m", "bench.card.program", "load", options.model]
        command += ["tiny"] if options.tiny else []
        began = time.perf_counter()
        done = subprocess.run(
            command,
            env=os.environ | {"SAM_MODEL": options.model, "SAM_DEVICE": options.device},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - began
        print(done.stdout, flush=True)
        rows.add(what, seconds=round(seconds, 1), ended=done.returncode, said=done.stdout.splitlines()[-12:])
        if done.returncode:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
