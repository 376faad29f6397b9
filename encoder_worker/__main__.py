"""`python -m encoder_worker`: encode images of `SAM_MODEL` until told to stop.

Exit status: 0 it was told to stop; 1 Redis stayed out of reach, or the encoder cannot run; 2 the settings or the
weights are wrong. A supervisor restarts it after 1 and after a death: a worker whose encoding hangs ends itself.
"""

from __future__ import annotations

import logging
import sys
import time

from encoder_worker.metrics.counting import WorkerMetrics
from encoder_worker.metrics.server import metrics_server
from encoder_worker.wiring import prepare_encoder, serve
from shared.contract.errors import ModelNotFound, SamCacheError, StartupError
from shared.contract.settings import Settings
from shared.observe import logs
from shared.observe.open_tracer import opened_tracer
from shared.rq_worker.lifetime import exit_on_signals

SERVICE = "worker"
"""What logs and traces call this process."""

_log = logging.getLogger("encoder_worker")


def main() -> int:
    exit_on_signals()
    settings = None
    try:
        settings = Settings.from_env()
        logs.configure(settings, SERVICE)
        metrics = WorkerMetrics(settings.model)
        with (
            opened_tracer(settings, SERVICE) as tracer,
            metrics_server(metrics, settings.worker_metrics_host, settings.worker_metrics_port) as port,
        ):
            if port is not None:
                _log.info("metrics on http://%s:%d/metrics", settings.worker_metrics_host, port)
            began = time.perf_counter()
            encoder = prepare_encoder(settings)
            metrics.loaded(time.perf_counter() - began)
            serve(settings, encoder, tracer, metrics)
    except SamCacheError as error:
        logs.last_words(settings, "encoder_worker", error.detail)
        return 2 if isinstance(error, StartupError | ModelNotFound) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
