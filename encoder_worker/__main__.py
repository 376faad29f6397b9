"""`python -m encoder_worker`: encode images of `SAM_MODEL` until told to stop.

Exit status: 0 it was told to stop; 1 Redis stayed out of reach, the encoder cannot run, or its device has stopped
working; 2 the settings or the weights are wrong. A supervisor restarts it after 1 and after a death: a worker whose
encoding hangs ends itself. How often it is started again is the supervisor's business: this program counts nothing.
"""

from __future__ import annotations

import sys
import time

from encoder_worker.encoding.device_lost import DeviceLost
from encoder_worker.metrics.counting import WorkerMetrics
from encoder_worker.wiring import prepare_encoder, serve
from shared.contract.settings import Settings
from shared.observe.tracing import Tracer
from shared.rq_worker.program import run_program
from shared.rq_worker.watchdog import end_within

SERVICE = "worker"
"""What logs and traces call this process."""

_ENDING = 30
"""Seconds in which the process ends after it has lost its device. Giving back the device's memory may hang."""


def main() -> int:
    return run_program("encoder_worker", SERVICE, WorkerMetrics, _work)


def _work(settings: Settings, tracer: Tracer, metrics: WorkerMetrics) -> None:
    began = time.perf_counter()
    encoder = prepare_encoder(settings)
    metrics.loaded(time.perf_counter() - began)
    try:
        serve(settings, encoder, tracer, metrics)
    except DeviceLost:
        end_within(_ENDING)
        raise


if __name__ == "__main__":
    sys.exit(main())
