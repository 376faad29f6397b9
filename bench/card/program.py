"""`python -m bench.card.program worker|load MODEL [tiny]`: the real worker, or only what it does until it is ready."""

from __future__ import annotations

import sys
import time

import numpy as np

from bench.card.network import make_tiny
from encoder_worker.__main__ import SERVICE
from encoder_worker.__main__ import main as run_worker
from encoder_worker.wiring import prepare_encoder
from shared.contract.settings import Settings
from shared.observe import logs


def main(what: str, model: str, tiny: bool) -> int:
    if tiny:
        make_tiny(model)
    if what == "worker":
        return run_worker()
    settings = Settings.from_env()
    logs.configure(settings, SERVICE)
    encoder = prepare_encoder(settings)
    began = time.perf_counter()
    encoder.encode([np.zeros((683, 1024, 3), dtype=np.uint8)])
    print(f"encoded the first image in {time.perf_counter() - began:.2f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:] == ["tiny"]))
