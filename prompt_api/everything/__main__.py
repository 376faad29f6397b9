"""`python -m prompt_api.everything`: run everything jobs of `SAM_MODEL` until told to stop.

Exit status: 0 it was told to stop; 1 Redis stayed out of reach; 2 the settings or the weights are wrong. A supervisor
restarts it after 1 and after a death: a mask worker whose job hangs ends itself.
"""

from __future__ import annotations

import os
import sys

from prompt_api.everything.job.wiring import load_model, serve
from prompt_api.metrics.mask_worker import MaskWorkerMetrics
from shared.contract.settings import Settings
from shared.observe.tracing import Tracer
from shared.rq_worker.program import run_program

SERVICE = "mask-worker"
"""What logs and traces call this process."""


def main() -> int:
    return run_program("prompt_api.everything", SERVICE, MaskWorkerMetrics, _work)


def _work(settings: Settings, tracer: Tracer, metrics: MaskWorkerMetrics) -> None:
    os.nice(settings.everything_nice)
    serve(settings, load_model(settings), tracer, metrics)


if __name__ == "__main__":
    sys.exit(main())
