"""`python -m encoder_worker`: encode images of `SAM_MODEL` until told to stop.

Exit status: 0 it was told to stop; 1 Redis stayed out of reach, or the encoder cannot run; 2 the settings or the
weights are wrong. A supervisor restarts it after 1 and after a death: a worker whose encoding hangs ends itself.
"""

from __future__ import annotations

import sys
import time

from encoder_worker.metrics.counting import WorkerMetrics
from encoder_worker.wiring import prepare_encoder, serve
from shared.contract.settings import Settings
from shared.observe.tracing import Tracer
from shared.rq_worker.program import run_program

SERVICE = "worker"
"""What logs and traces call this process."""


def main() -> int:
    return run_program("encoder_worker", SERVICE, WorkerMetrics, _work)


def _work(settings: Settings, tracer: Tracer, metrics: WorkerMetrics) -> None:
    began = time.perf_counter()
    encoder = prepare_encoder(settings)
    metrics.loaded(time.perf_counter() - began)
    serve(settings, encoder, tracer, metrics)


if __name__ == "__main__":
    sys.exit(main())
