"""`python -m prompt_api.everything`: run everything jobs of `SAM_MODEL` until told to stop.

Exit status: 0 it was told to stop; 1 Redis stayed out of reach; 2 the settings or the weights are wrong. A supervisor
restarts it after 1 and after a death: a mask worker whose job hangs ends itself.
"""

from __future__ import annotations

import logging
import os
import sys

from prompt_api.everything.job.wiring import load_model, serve
from prompt_api.metrics.mask_worker import MaskWorkerMetrics
from shared.contract.errors import ModelNotFound, SamCacheError, StartupError
from shared.contract.settings import Settings
from shared.observe import logs
from shared.observe.metrics_server import metrics_server
from shared.observe.open_tracer import opened_tracer
from shared.rq_worker.lifetime import exit_on_signals

SERVICE = "mask-worker"
"""What logs and traces call this process."""

_log = logging.getLogger("prompt_api.everything")


def main() -> int:
    exit_on_signals()
    settings = None
    try:
        settings = Settings.from_env()
        logs.configure(settings, SERVICE)
        os.nice(settings.everything_nice)
        metrics = MaskWorkerMetrics(settings.model)
        with (
            opened_tracer(settings, SERVICE) as tracer,
            metrics_server(metrics.application, settings.worker_metrics_host, settings.worker_metrics_port) as port,
        ):
            if port is not None:
                _log.info("metrics on http://%s:%d/metrics", settings.worker_metrics_host, port)
            serve(settings, load_model(settings), tracer, metrics)
    except SamCacheError as error:
        logs.last_words(settings, "prompt_api.everything", error.detail)
        return 2 if isinstance(error, StartupError | ModelNotFound) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
